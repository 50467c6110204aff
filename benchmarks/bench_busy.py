"""How a training step of the mini preset fares beside other work: the package's waiting threads against torch's own.

    python benchmarks/bench_busy.py [rounds]

Each figure is from a process of its own, in turn, because OpenMP reads its settings when torch is loaded. The machine
should have nothing else to do; with more than two cores, one of them stays busy all the same.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

import sdcda_tutorial

# What the libraries do where nothing is set: 300,000 turns, or 200 ms.
THEIRS = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}
STEP = "import bench_step; print(bench_step.step_time(channels_last=True, bfloat16=True, repeats=5))"


@contextlib.contextmanager
def busy_core(busy: bool) -> Iterator[None]:
    """One core with work that never ends, as a browser or another training has it."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        yield
    finally:
        if other is not None:
            other.kill()
            other.wait()


def step_time(settings: dict[str, str]) -> float:
    """Median seconds of a training step in a new process with these environment variables."""
    run = subprocess.run(
        [sys.executable, "-c", STEP], cwd=os.path.dirname(os.path.abspath(__file__)), env=os.environ | settings,
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return float(run.stdout)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for busy in (False, True):
        theirs, ours = [], []
        with busy_core(busy):
            for _ in range(rounds):
                theirs.append(step_time(THEIRS))
                ours.append(step_time(sdcda_tutorial.WAITING))
        a, b = statistics.median(theirs), statistics.median(ours)
        print(
            f"{'beside a busy core' if busy else 'idle':18s} {a * 1000:8.0f} ms as torch has it"
            f" {b * 1000:8.0f} ms as the package sets it   {b / a:5.2f}"
        )


if __name__ == "__main__":
    main()
