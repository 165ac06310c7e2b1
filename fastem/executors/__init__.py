"""Who maps chunks, and who sums the results."""
