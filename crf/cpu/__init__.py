"""The CRF's inference compiled for the CPU with numba."""
