"""Plans, fitted models and their arrays as data: bytes that can be read without running anybody's code.

What lives here turns objects into data and back by public constructors. No pickle, and no engine.
"""
