"""Fully connected CRF with Gaussian edge potentials, independent of any network."""

from crf.dense import ENGINES, dense_crf, warm_up
from crf.layer import DenseCRF
from crf.params import NORMALIZATIONS, CRFParams

__all__ = ["ENGINES", "NORMALIZATIONS", "CRFParams", "DenseCRF", "dense_crf", "warm_up"]
