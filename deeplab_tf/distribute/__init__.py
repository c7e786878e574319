"""Several devices and machines: the strategy, and the workers of a cluster."""
