"""Extrapolation of EM: one method a file."""
