"""Pipelines and unions: learners one after the other and side by side."""
