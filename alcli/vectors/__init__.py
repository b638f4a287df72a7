"""Vector algorithms in numpy: k-center, k-means, neighbors, ranking; same picks on every machine."""
