"""What a site agrees to: its data sets, its policy, proposals, decisions, and what would leave in words.

What lives here decides, and sends nothing; it may import `identity/`, `formats/` and `data/`.
"""
