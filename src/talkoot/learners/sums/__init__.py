"""What nodes add up: moments, products, counts, sketches."""
