"""Samples that can be taken one by one: arrays, tables, files, datasets of torch, images, tokens.

May import core, `data/` and `data/tables/`; in which order samples are read is for `data/loading/` to say.
"""
