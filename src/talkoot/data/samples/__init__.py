"""Samples that can be taken one by one: arrays, tables, files, datasets of torch, images, tokens.

May import core, `data/` and `data/tables/`; the order of reading is decided in `data/loading/`.
"""
