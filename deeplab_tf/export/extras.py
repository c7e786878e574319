"""Packages of other runtimes, which are installed with an extra of this package."""

import importlib

from deeplab_tf.errors import InputError


class MissingPackageError(InputError):
    """A package that only some users have is needed, and not installed."""


def import_extra(module, extra, user=None):
    """Import a module of a package that only some users have.

    Args:
      module: its name.
      extra: of setup.py's extras, the one that installs it.
      user: what needs it, for the message; None: the format of this name.

    Returns:
      The module.

    Raises:
      MissingPackageError: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"{user or f'the format {extra}'} needs the Python package {module.partition('.')[0]}, "
            f'which cannot be imported ({error}): pip install "deeplab-tf[{extra}]"'
        ) from None
