"""Hidden structures, one file each."""
