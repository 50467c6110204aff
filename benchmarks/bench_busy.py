"""How a training step of the mini preset fares beside other work: the package's waiting threads against torch's own.

    python benchmarks/bench_busy.py [rounds]

Each figure is from a process of its own, in turn, because OpenMP reads its settings when torch is loaded. The machine
should have nothing else to do; with more than two cores, one of them stays busy all the same.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from rounds import main

import sdcda_tutorial

# What the libraries do where nothing is set: 300,000 turns, or 200 ms.
THEIRS = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}
STEP = "import bench_step; print(bench_step.step_time(channels_last=True, bfloat16=True, repeats={repeats}))"


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


def step_time(settings: dict[str, str], repeats: int) -> float:
    """Median seconds of a training step in a new process with these environment variables."""
    command = [sys.executable, "-c", STEP.format(repeats=repeats)]
    here, environment = os.path.dirname(os.path.abspath(__file__)), os.environ | settings
    run = subprocess.run(command, cwd=here, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(run.stdout)


def measure(quick: bool) -> dict[str, float]:
    repeats, ours = 1 if quick else 10, sdcda_tutorial.WAITING
    found = {}
    for name, busy in (("idle", False), ("beside a busy core", True)):
        with busy_core(busy):
            # There and back: what changes steadily meanwhile, such as the machine's load, falls on both alike.
            a, b, c, d = (step_time(settings, repeats) for settings in (THEIRS, ours, ours, THEIRS))
        found[f"training step {name}, OpenMP as it is / as the package sets it"] = (a + d) / (b + c)
    return found


if __name__ == "__main__":
    main(measure)
