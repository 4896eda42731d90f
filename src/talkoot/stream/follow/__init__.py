"""Following a stream: a shard with a cursor, the learner that reads its next rows, and what both store.

May import core, formats, learners/online and the other folders of stream/.
"""
