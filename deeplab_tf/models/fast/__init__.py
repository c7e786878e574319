"""Faster forms of the same networks."""
