"""Thousands of damaged and hostile inputs for every reader of files that come from strangers.

    python tests/campaigns/fuzz.py [--inputs=12000] [--seed=0] [--only=png,tar] [--findings=FOLDER]

Small valid files are changed: bits, lengths, parts exchanged or left out, and changes that keep a
format's checksums right. A child process reads them, and is started again when one of them ends
it. For each input there must be a result, or one line that says what is wrong, within 10 seconds of
processor time and 2 GB of memory; never another exception, a crash, a file outside of the target
folder, or a command that is run. A part of the inputs is read again by another process in another
order, and must give the same.

The table at the end has, for each reader, how many inputs were tried, how many of them gave a
result, what was found, and the time. Every finding's files are kept in the folder of --findings.
The same seed gives the same inputs. The exit status is 1 if anything was found.
"""

import argparse
import collections
import json
import re
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# In place of this folder, which Python has put first.
sys.path[:1] = [str(HERE), str(HERE.parent / "support"), str(HERE.parents[1])]

from fuzz_child import Child  # noqa: E402

# Networks take longer to build, and slow answers of servers to arrive.
WEIGHTS = {"keras": 0.4, "h5": 0.4, "packed npz": 0.5, "http": 0.5, "training": 0.7}
GOOD = ("result", "line")
HEADINGS = ("reader", "tried", "results", "found", "seconds", "slowest", "peak MB")


class Tally:
    """What came of the inputs of one reader."""

    def __init__(self):
        self.tried, self.results, self.seconds = 0, 0, 0.0
        self.slowest, self.memory, self.found = 0.0, 0, collections.Counter()

    def add(self, outcome):
        """Count an outcome; returns whether it is a finding that is new."""
        self.tried += 1
        self.results += outcome["kind"] == "result"
        self.slowest = max(self.slowest, outcome.get("seconds", 0))
        self.memory = max(self.memory, outcome.get("memory", 0))
        if outcome["kind"] in GOOD:
            return False
        key = describe(outcome)
        self.found[key] += 1
        return self.found[key] == 1


def describe(outcome):
    """What is wrong, without the details that differ between inputs of the same fault."""
    text = re.sub(r"0x[0-9a-f]+|\d+", "N", outcome["text"].partition(": ")[0])
    return f"{outcome['kind']}: {text[:120]}"


def save(folder, reader, number, files, outcome):
    """Keep the files of a finding."""
    place = folder / f"{reader.replace(' ', '_')}-{number}-{outcome['kind']}"
    shutil.rmtree(place, ignore_errors=True)
    for name, contents in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    (place / "finding.json").write_text(json.dumps(outcome, indent=1))
    print(f"found: {place}\n  {outcome['kind']}: {outcome['text'][:300]}", flush=True)


def count_of(reader, total, readers):
    """How many inputs a reader gets of all."""
    share = WEIGHTS.get(reader, 1) / sum(WEIGHTS.get(one, 1) for one in readers)
    return max(1, round(total * share))


def try_reader(child, again, reader, inputs, count, folder, every):
    """Try the inputs of one reader, and a part of them in the other process.

    Returns:
      `Tally`.
    """
    from fuzz_readers import TIMED

    tally, start, outcomes = Tally(), time.monotonic(), {}
    numbers = range(-len(inputs.hostile), count - len(inputs.hostile))
    for number in numbers:
        files = inputs[number]
        outcomes[number] = outcome = child.read(reader, files)
        if tally.add(outcome):
            save(folder, reader, number, files, outcome)
    repeated = [n for n in numbers[::every] if outcomes[n]["kind"] in GOOD]
    for number in [] if reader in TIMED else repeated[::-1]:
        files = dict(reversed(inputs[number].items()))
        second, first = again.read(reader, files), outcomes[number]
        if [second[key] for key in ("kind", "text")] != [
            first[key] for key in ("kind", "text")
        ] or (second.get("digest") != first.get("digest")):
            text = f"order: {first['text'] or 'a result'}, then {second['text'] or 'another'}"
            if tally.add({"kind": "order", "text": text}):
                save(folder, reader, number, files, {"kind": "order", "text": text})
    tally.seconds = time.monotonic() - start
    return tally


def print_row(name, tally):
    """Print a row of the table."""
    print(
        f"{name:16} {tally.tried:6} {tally.results:8} {len(tally.found):6} {tally.seconds:8.1f} "
        f"{tally.slowest:8.2f} {tally.memory / 1e6:8.0f}",
        flush=True,
    )


def main():
    """Run the campaign, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=12000, help="of all readers together")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other inputs")
    parser.add_argument("--only", default="", help="readers whose names hold one of these words")
    parser.add_argument("--findings", default="fuzz_findings", help="folder for what is found")
    parser.add_argument("--every", type=int, default=4, help="each n-th input is read twice")
    flags = parser.parse_args()
    from fuzz_inputs import Inputs
    from fuzz_readers import READERS

    words = flags.only.split(",")
    names = [name for name in READERS if any(word in name for word in words)]
    print("{:16} {:>6} {:>8} {:>6} {:>8} {:>8} {:>8}".format(*HEADINGS))
    rows, folder = {}, Path(flags.findings)
    with Child("fuzz_readers") as child, Child("fuzz_readers") as again:
        for name in names:
            count = count_of(name, flags.inputs, names)
            inputs = Inputs(name, flags.seed)
            rows[name] = try_reader(child, again, name, inputs, count, folder, flags.every)
            print_row(name, rows[name])
    tried = sum(row.tried for row in rows.values())
    found = sum(len(row.found) for row in rows.values())
    minutes = sum(row.seconds for row in rows.values()) / 60
    print(
        f"\n{tried} inputs of {len(rows)} readers in {minutes:.1f} minutes: {found} findings"
        f" (seed {flags.seed}; processes started: {child.starts + again.starts})"
    )
    for name, row in rows.items():
        for what, times in row.found.items():
            print(f"open: {name}: {what} ({times} inputs)")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
