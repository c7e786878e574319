"""Flagfiles: finding them by path or by name, and inserting their flags."""

import contextlib
import difflib
from pathlib import Path

from deeplab_tf.errors import InputError

_MOST_FLAGS = 10_000
_PACKAGE = Path(__file__).resolve().parents[1]
# A wheel has the flagfiles inside the package, a checkout next to it.
CONFIGS = next(
    (folder for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if folder.is_dir()),
    _PACKAGE / "configs",
)


def find_flagfile(name):
    """Find a flagfile.

    Args:
      name: a path, or the name of one of the flagfiles that come with the package: all of
        "demo", "demo.flags" and "configs/demo.flags" name the same one.

    Returns:
      Path.

    Raises:
      InputError: if there is no such file.
    """
    path = Path(name)
    # A name that no file, and no user in ~USER, can have is like that of a missing file.
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        path = path.expanduser()
        if path.is_file():
            return path
    stem = path.name.removesuffix(".flags")
    own = CONFIGS / f"{stem}.flags"
    with contextlib.suppress(OSError, ValueError):
        if path.parent in (Path(), Path("configs")) and own.is_file():
            return own
    near = difflib.get_close_matches(stem, [other.stem for other in CONFIGS.glob("*.flags")], 3)
    advice = f"did you mean {' or '.join(near)}?" if near else "`deeplab-tf configs` lists them"
    raise InputError(f"--flagfile={name}: no such file; {advice}")


def expand_flagfiles(arguments, inside=(), known=None):
    """Replace every --flagfile=NAME by the flags in that file, which may name further files.

    Args:
      arguments: list of str, as on the command line.
      inside: the files that these arguments come from, the outermost first.
      known: {Path: the flags of a flagfile that was read before}.

    Returns:
      List of str without --flagfile. If a flag is given twice, the later one counts.

    Raises:
      InputError: if a file is missing, unreadable, or includes itself, or there are too many
        flags: files that each name another one twice are soon millions.
    """
    expanded, rest = [], list(arguments)
    known = {} if known is None else known
    while rest:
        flag, equals, name = rest.pop(0).partition("=")
        if flag == "--":  # no flags follow
            return [*expanded, "--", *rest]
        if flag not in ("--flagfile", "-flagfile"):
            expanded.append(flag + equals + name)
            continue
        if not equals:
            if not rest:
                raise InputError("--flagfile needs a value: --flagfile=FILE")
            name = rest.pop(0)
        path = find_flagfile(name.strip())
        if path in inside:
            raise InputError(f"{path}: includes itself by --flagfile; remove that line")
        if path not in known:
            known[path] = expand_flagfiles(_read_flags(path), (*inside, path), known)
        expanded += known[path]
        if len(expanded) > _MOST_FLAGS:
            raise InputError(f"{path}: with it, there are more than {_MOST_FLAGS} flags")
    return expanded


def _read_flags(path):
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a flagfile: not UTF-8 text; save it as UTF-8") from None
    lines = map(str.strip, lines)
    return [line for line in lines if line and not line.startswith(("#", "//"))]
