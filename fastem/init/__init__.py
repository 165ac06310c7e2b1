"""Starts: from rows to first parameters."""
