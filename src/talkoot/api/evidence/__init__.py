"""What was approved, and what left a site or went through a coordinator, as one HTML file.

What lives here reads audit logs, and nothing of rows or models.
"""
