"""Who maps parts of the data, and how their totals are folded."""
