"""Orders of E- and M-steps, one file each, and when they stop."""
