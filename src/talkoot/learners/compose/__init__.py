"""Learners of compositions: Pipeline, ColumnTransformer and FeatureUnion.

May import every other folder of `learners/` but `deep/`.
"""
