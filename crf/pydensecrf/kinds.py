"""The kinds of kernels and of normalizations, as numbers with the names of pydensecrf."""

from enum import IntEnum


class KernelType(IntEnum):
    """Which precision matrix of a kernel could be learned; inference does not depend on it."""

    CONST_KERNEL = 0
    DIAG_KERNEL = 1
    FULL_KERNEL = 2


class NormalizationType(IntEnum):
    """How a kernel is divided by its row sums: the filter's input, its output, or both."""

    NO_NORMALIZATION = 0
    NORMALIZE_BEFORE = 1
    NORMALIZE_AFTER = 2
    NORMALIZE_SYMMETRIC = 3


def as_kind(value, name, kinds):
    """The member of an enumeration for its number; ValueError that lists all for another value."""
    try:
        return kinds(value)
    except ValueError:
        names = ", ".join(f"{kind.name} ({kind.value})" for kind in kinds)
        raise ValueError(f"pydensecrf: {name} must be one of {names}, not {value!r}") from None
