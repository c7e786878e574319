"""Readers of the weight files that the authors released."""
