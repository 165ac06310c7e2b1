"""fastem against other implementations, on the machine that it runs on: what `fastem bench` prints."""
