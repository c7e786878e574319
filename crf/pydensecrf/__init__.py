"""The interface of the Python binding pydensecrf, computed by this package; docs/pydensecrf.md."""
