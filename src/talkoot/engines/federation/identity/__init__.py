"""Who is who: keys that never leave their folder, certificates, requests, renewals and revocations.

What lives here needs `cryptography`, so it is imported late, and knows nothing of rounds.
"""
