"""Figures that explain DeepLab, drawn from the package's own layers, networks, CRF and scores."""
