"""Ways from one optimum to a better one, or to another size."""
