"""The contenders of deep.py, a script each: ``python -m deep_contenders.NAME MODEL STEPS FOLDER OUT``."""
