"""The five laws as Hypothesis property tests, for our parts and for yours."""
