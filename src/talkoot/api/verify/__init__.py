"""The same answer as one machine with all rows: tk.verify, and how one machine reads and fits.

None of Talkoot's readers or learners is used on the single machine's side.
"""
