"""Families of independent columns: one file a distribution."""
