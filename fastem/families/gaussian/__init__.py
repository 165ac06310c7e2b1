"""Gaussian distributions: a location and a covariance structure."""
