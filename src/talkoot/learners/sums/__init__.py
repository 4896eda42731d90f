"""What nodes add up: moments, products, counts, order statistics.

May import core alone.
"""
