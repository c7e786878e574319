"""The table, the picture and the closing line of benchmarks/soak.py."""

from pathlib import Path

HEAD = (
    f"{'':12}{'tried':>8}{'seconds':>9}{'MB before':>11}{'MB after':>10}{'growth':>8}{'peak MB':>9}"
    f"{'files':>10}{'threads':>10}{'found':>7}"
)


def judge(before, after, growth):
    """What is wrong with what a process held before and after its work, a list of str.

    Args:
      before, after: `Sample`.
      growth: share by which memory may grow.
    """
    problems = []
    grown = after.megabytes / before.megabytes - 1
    if grown > growth:
        problems.append(f"memory grows by {grown:.1%}")
    for what in ("files", "threads"):
        first, last = getattr(before, what), getattr(after, what)
        if last > first:
            problems.append(f"the number of {what} grows from {first:g} to {last:g}")
    return problems


def row(name, result):
    """One line of the table: what a part of --json_out found."""
    start = f"{name:12}{result['tried']:8,}{result['seconds']:9,}"
    end = f"{len(result['problems']):7}"
    if "before" not in result:
        return f"{start}{'':58}{end}"
    before, after = result["before"], result["after"]
    growth = after["megabytes"] / before["megabytes"] - 1
    files = f"{before['files']:g} → {after['files']:g}"
    threads = f"{before['threads']:g} → {after['threads']:g}"
    return (
        f"{start}{before['megabytes']:11.0f}{after['megabytes']:10.0f}{growth:8.1%}"
        f"{result['peak']:9.0f}{files:>10}{threads:>10}{end}"
    )


def closing_line(results):
    """How much was tried and found in all parts."""
    tried = sum(result["tried"] for result in results.values())
    problems = sum(len(result["problems"]) for result in results.values())
    return f"soak: tried {tried:,}, found {problems}, {problems} open"


def draw(results, path):
    """Write a PNG file of the memory of every part over its work."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for name, result in results.items():
        if "curve" in result:
            axes.plot(*zip(*result["curve"], strict=True), label=name, linewidth=1.2)
    axes.axvspan(10, 20, color="0.9")
    axes.axvspan(90, 100, color="0.9")
    axes.set(xlabel="share of the work (%)", ylabel="resident memory (MB)", xlim=(0, 100))
    axes.set_ylim(bottom=0)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
