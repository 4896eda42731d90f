"""Labels that come later than their rows, in a stream of their own.

May import core, formats, learners/online, stream/labels and the files of follow/ that do not import it.
"""
