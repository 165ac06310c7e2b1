"""Observed distributions, one file each: a density, its statistics, its M-step, its constraints."""
