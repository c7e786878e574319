"""The CRF's inference compiled for the CPU by numba."""

from crf.cpu.mean_field import infer

__all__ = ["infer"]
