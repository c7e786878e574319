"""The same networks in fewer and faster operations."""
