"""What the parties of a federation type: certificates, decisions, words and evidence.

What lives here is imported when a command runs, as it needs `cryptography`; it may import everything.
"""
