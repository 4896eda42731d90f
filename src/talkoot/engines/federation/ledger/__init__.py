"""What a site has disclosed, so that no later answer shows, by subtraction, a few rows or one site.

What lives here knows sums, sites and rows, and no proposals; it may import `core/`, `data/` and `learners/`.
"""
