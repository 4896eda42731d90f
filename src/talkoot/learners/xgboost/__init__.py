"""XGBoost's trees over nodes: by its own kernels and sums between processes, where nodes trust each other.

Nodes of one process train as one; processes send histograms to each other, not through the driver. Behind
`fixed`, trees are grown of merged histograms as in `trees/boosting`, by XGBoost's rules (`merged`).
XGBoost is imported when it works, never with this package.
"""
