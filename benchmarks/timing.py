"""What calls take; needs only the standard library, so that every worker can import it."""

import time


def timed(run):
    """The result, and {"seconds", "processor"}, of a call."""
    start, processor = time.perf_counter(), time.process_time()
    result = run()
    return result, {
        "seconds": time.perf_counter() - start,
        "processor": time.process_time() - processor,
    }


def take_turns(runs, rounds):
    """Run each of several functions once in every round.

    Args:
      runs: {name: function that returns a result and what it spent, as `timed` does}.
      rounds: number of rounds.

    Returns:
      {name: what the best rounds spent} and {name: result of the last round}.
    """
    best, results = {}, {}
    for _ in range(rounds):
        for name, run in runs.items():
            results[name], spent = run()
            before = best.get(name, spent)
            best[name] = {key: min(spent[key], before[key]) for key in spent}
    return best, results
