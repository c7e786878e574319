"""The inputs of the fuzzing campaign: the n-th of a reader is always the same for a seed."""

import functools
import hashlib
import random

from fuzz_changes import GENERAL, spliced
from fuzz_formats import FORMATS
from fuzz_hostile import HOSTILE
from fuzz_seeds import SEEDS


class Inputs:
    """The inputs of one reader: its valid files, then changes of them; hostile ones below 0.

    Args:
      reader: its name in `SEEDS`.
      seed: int; another one gives other changes.
    """

    def __init__(self, reader, seed):
        self._reader, self._start = reader, f"{seed} {reader}"
        self.seeds = SEEDS[reader]()

    @functools.cached_property
    def hostile(self):
        """The inputs that were made by hand, some of which take seconds to make."""
        return HOSTILE[self._reader]() if self._reader in HOSTILE else []

    def __getitem__(self, number):
        if number < len(self.seeds):
            return self.seeds[number] if number >= 0 else self.hostile[number]
        rng = random.Random(f"{self._start} {number}")
        files = dict(rng.choice(self.seeds))
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            name = rng.choice(list(files))
            files[name] = self._changed(rng, name, files[name])
        if len(files) > 1 and rng.random() < 0.04:
            del files[rng.choice(list(files))]
        return files

    def _changed(self, rng, name, contents):
        formats = FORMATS.get(name.rpartition(".")[2])
        if formats and rng.random() < 0.6:
            return rng.choice(formats)(rng, contents)
        others = [seed[name] for seed in self.seeds if name in seed]
        if rng.random() < 0.1:
            return spliced(rng, contents, rng.choice(others))
        return rng.choice(GENERAL)(rng, contents)


def checksum(files):
    """A checksum of an input, which names it."""
    state = hashlib.sha256()
    for name, contents in sorted(files.items()):
        state.update(f"{name} {len(contents)} ".encode() + contents)
    return state.hexdigest()[:16]
