"""The loop and its parts: update, transform, merge, outer step, sync, plan, learner, shard, engine.

Imports numpy and nothing else of ours or of others.
"""
