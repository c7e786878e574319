"""Faster networks that compute the same function."""
