"""The coordinator: it carries rounds to sites, adds what they answer, and writes down what came of it.

What lives here needs no learner, and reads nobody's rows.
"""
