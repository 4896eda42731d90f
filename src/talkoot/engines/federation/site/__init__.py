"""A site: it decides on proposals, answers rounds from its own rows, and writes down what it answered.

What lives here is all that ever sees rows.
"""
