"""XGBoost's own trees over nodes that trust each other: its kernels, and its own sums between processes.

Nodes of one process train as one; processes send histograms to each other, not through the driver.
XGBoost is imported when it works, never with this package.
"""
