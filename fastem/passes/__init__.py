"""All that is compiled and is neither a family nor a latent: lanes, blocks, pruning, passes over rows and sequences."""
