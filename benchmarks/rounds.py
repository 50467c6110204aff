"""What the benchmarks share: seconds measured in turn, and rounds of ratios with their median and spread.

Every bench_NAME.py has `measure(quick)`, which gives ratios by name; one that ends in "ms" or "GiB" is none. With
`quick` the work is small, for tests.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping

Measure = Callable[[bool], dict[str, float]]


def in_turn(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each work, done in turn, so that a slow minute of the machine is shared; the first warms up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def spread(rounds: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median, lowest and highest of each ratio over the rounds, and how many there were."""
    found = {name: [float(f"{round[name]:.4g}") for round in rounds] for name in rounds[0]}
    return {
        name: {"median": statistics.median(values), "low": min(values), "high": max(values), "rounds": len(values)}
        for name, values in found.items()
    }


def shown(figures: Mapping[str, float]) -> tuple[str, str]:
    """A median, and "lowest to highest", with three digits; more is more than a time is worth."""
    values = (figures[key] for key in ("median", "low", "high"))
    median, low, high = (f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in values)
    return median, f"{low} to {high}"


def lines(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A line for each ratio."""
    longest = max(map(len, found))
    texts = {name: shown(figures) for name, figures in found.items()}
    return [f"{name:{longest}} {median:>8}   ({between})" for name, (median, between) in texts.items()]


def main(measure: Measure) -> None:
    """Print what `measure` gives in so many rounds as the command line says, by default 5."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(*lines(spread([measure(False) for _ in range(number)])), sep="\n")
