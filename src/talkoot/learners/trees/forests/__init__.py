"""Forests over nodes: nodes grow trees of their own rows by scikit-learn's code; all stand side by side."""
