"""Guards: transforms that weigh, protect and shrink updates on their way."""
