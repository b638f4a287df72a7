"""Vectors in numpy: k-center, k-means, neighbours, ranking; the same picks on every machine."""
