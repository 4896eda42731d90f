"""Messages between researcher, coordinator and sites, and frames beside them, across cuts of the line.

What lives here knows nothing of plans and rounds but their names.
"""
