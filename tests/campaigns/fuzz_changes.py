"""Changes of a file that need no knowledge of its format, and changes of texts and of JSON.

A change is a function from a `random.Random` and the bytes of a file to other bytes; one that finds
nothing to change returns the same.
"""

import json
import math
import struct
import warnings

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

# Where programs go wrong: around powers of two, and at the ends of the types.
NUMBERS = [0, 1, 2, 3, 4, 7, 8, 16, 100, 127, 128, 254, 255, 256, 1000, 4096, 20000, 32767, 32768]
NUMBERS += [65535, 65536, 1 << 20, (1 << 24) + 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40]
NUMBERS += [(1 << 63) - 1, 1 << 63, (1 << 64) - 1]
NAMES = ["", ".", "..", "../out", "/tmp/out", "a/../../out", "a\\b", "a\0b", "~root", "n" * 300]
NAMES += [
    "new\nline",
    "\x1b[31mred",
    "\u202egnp",
    "café",
    "a" * 5000,
    "%s%n",
    "$(touch out)",
    "`ls`",
]
RUN = 50_000  # characters or levels, where a program takes quadratic time or recurses


def flip(rng, data):
    """Change some bits."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(rng, data):
    """Replace some bytes by random ones, or by equal ones."""
    count = rng.choice((1, 2, 4, 16, 64))
    start = rng.randrange(len(data) + 1)
    new = rng.randbytes(count) if rng.random() < 0.5 else bytes([rng.randrange(256)]) * count
    return data[:start] + new + data[start + count :]


def cut(rng, data):
    """Cut off the end, or leave out a part."""
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:start] if rng.random() < 0.6 else data[:start] + data[end:]


def repeat(rng, data):
    """Write a part again, somewhere else."""
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    place = rng.randrange(len(data) + 1)
    return data[:place] + data[start:end] + data[place:]


def number(rng, data):
    """Write an integer where one may be, mostly at the beginning."""
    size, order = rng.choice((1, 2, 4, 4, 8)), rng.choice("<>")
    reach = len(data) if rng.random() < 0.5 else min(len(data), 100)
    if reach < size:
        return data
    place = rng.randrange(reach - size + 1)
    value = rng.choice(NUMBERS) % (1 << 8 * size)
    return data[:place] + struct.pack(order + " BH I   Q"[size], value) + data[place + size :]


def nothing(rng, data):
    """An empty file, or only the beginning."""
    return data[: rng.choice((0, 0, 1, 4, 8, 12, 40))]


GENERAL = (flip, flip, overwrite, cut, repeat, number, number, nothing)


def spliced(rng, data, other):
    """The beginning of one file and the end of another."""
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def drawn(strategy, count, start):
    """Values that Hypothesis draws; the same for the same `start`."""
    values = []

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def keep(value):
        values.append(value)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keep()
    return values


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(NUMBERS)
    | st.sampled_from(NUMBERS).map(lambda n: -n)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(NAMES)
)
VALUES = drawn(
    st.recursive(
        _LEAVES,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=12,
    ),
    300,
    start=1,
)


def json_value(rng, data):
    """Replace, leave out or add a value of a JSON document."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return flip(rng, data)
    places = list(_places([document]))
    whole = places[0][0]
    holder, key = rng.choice(places)
    kind = rng.randrange(8)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, rng.choice(VALUES))
    elif kind == 1:
        holder[rng.choice(NAMES)] = holder.pop(key)
    elif kind == 2 and isinstance(holder[key], int | float) and math.isfinite(holder[key]):
        holder[key] = rng.choice((-1, 2, 0.5, 1 << 20, 1e300)) * holder[key]
    elif kind == 3:
        holder[key] = [holder[key]] * rng.choice((1, 2, 300))
    else:
        holder[key] = rng.choice(VALUES)
    return json.dumps(whole[0] if whole else None).encode("utf-8", "surrogatepass")


def _places(value):
    """Every (dict or list, key) in a document."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def json_text(rng, data):
    """Numbers of many digits, many levels, a key twice, other encodings."""
    text = data.decode("utf-8", "replace")
    digits = [place for place, letter in enumerate(text) if letter.isdigit()]
    place = rng.choice(digits) if digits else 0
    new = rng.choice(
        ("9" * 5000, "1e999", "-Infinity", "NaN", "[" * RUN, '{"a":' * RUN, '"\\ud800"', "1" * 30)
    )
    changed = text[:place] + new + text[place + 1 :]
    if rng.random() < 0.2:
        changed = text.replace("{", '{"names": 3, "names": [], ', 1)
    return changed.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-8-sig")), "replace")


def lines(rng, data):
    """Change, repeat, exchange or leave out lines of a text."""
    text = data.decode("utf-8", "replace").splitlines()
    for _ in range(rng.choice((1, 1, 3))):
        place = rng.randrange(len(text) + 1)
        kind = rng.randrange(5)
        if kind == 0 or place == len(text):
            text.insert(place, rng.choice((*NAMES, *text)))
        elif kind == 1:
            text.insert(place, f"{text[place]} {rng.choice((*NAMES, *text))}")
        elif kind == 2:
            text[place] = rng.choice(NAMES)
        elif kind == 3:
            rng.shuffle(text)
        else:
            del text[place]
    end = rng.choice(("\n", "\n", "\r\n", "\r", "\0", "\v", "\u2028", "\n\n"))
    return end.join(text).encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16")), "replace")


def words(rng, data):
    """Exchange a word of a text for a number, a name, or a long run of equal characters."""
    parts = data.decode("utf-8", "replace").split(" ")
    place = rng.randrange(len(parts))
    letter = rng.choice((" ", ",", ", ", "1", "a", "\t", "..", ".jpg ", "=", "--", "1 ", "void "))
    run = letter * (RUN // rng.choice((1, 1, 100)))
    new = rng.choice((*NAMES, *map(str, NUMBERS), "-1", "1e400", "nan", "9" * 5000, run, run, run))
    parts[place] = parts[place] + new if rng.random() < 0.5 else new
    return " ".join(parts).encode("utf-8", "replace")


JSON = (json_value, json_value, json_value, json_text)
TEXT = (lines, words)
