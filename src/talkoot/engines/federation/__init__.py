"""Organisations learn together: each keeps its rows, and decides itself what leaves.

What lives here may import grpc and cryptography, late; the loop stays in `core/run.py`.
"""
