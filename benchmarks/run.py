"""All benchmarks: `make bench`. Prints their ratios and writes them with versions and hardware to build/bench.json.

    python benchmarks/run.py [--seconds 270] [--out build/bench.json]
    python benchmarks/run.py --table data/results/bench.json

They take turns, round by round, as long as the seconds last, so that a slow minute of the machine does not fall on one
of them alone. The machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rounds import Measure, lines, shown, spread

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.experiments.benchmark import provenance
from sdcda_tutorial.files import read_object, write_json
from sdcda_tutorial.markdown import markdown_table

HERE = Path(__file__).resolve().parent
ENOUGH = 5  # rounds of a benchmark


def benchmarks() -> dict[str, Measure]:
    """`measure` of every bench_NAME.py that has one, by name."""
    modules = [importlib.import_module(path.stem) for path in sorted(HERE.glob("bench_*.py"))]
    return {module.__name__[6:]: module.measure for module in modules if hasattr(module, "measure")}


def rounds_of(
    measures: Mapping[str, Measure], seconds: float, quick: bool = False
) -> dict[str, list[dict[str, float]]]:
    """Rounds of each benchmark in turn: at least one, and no further one that would end after `seconds`."""
    began, longest = time.monotonic(), dict.fromkeys(measures, 0.0)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in measures}
    for number, (name, measure) in itertools.product(range(ENOUGH), measures.items()):
        start = time.monotonic()
        if number and start - began + longest[name] > seconds:
            continue
        print(f"{name}, round {number + 1}", flush=True)
        found[name].append(measure(quick))
        longest[name] = max(longest[name], time.monotonic() - start)
    return found


def processor() -> str:
    """The processor's name as it gives it."""
    about = Path("/proc/cpuinfo")
    named = about.read_text().partition("model name")[2] if about.exists() else ""
    return named.partition(":")[2].partition("\n")[0].strip() or platform.processor() or platform.machine()


def report(found: Mapping[str, list[dict[str, float]]], seconds: float, load: float | None) -> dict[str, Any]:
    """What is written: the ratios with their spread, and where they come from.

    Args:
        load: processes that wanted a core when it began, 0 on an idle machine; None where the system does not say.
    """
    made = provenance()
    made["hardware"] = {
        "name": processor(), "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "load": load, **made["hardware"],
    }  # fmt: skip
    return {
        "what": "Ratios of times, each taken in turn in one run: medians over rounds, lowest and highest. "
        "Those that end in ms or GiB are of this machine.",
        "command": "make bench",
        "seconds": round(seconds),
        "provenance": made,
        "benchmarks": {name: spread(rounds) for name, rounds in found.items()},
    }


def table(found: Mapping[str, Any]) -> str:
    """The ratios of a report as Markdown, and of each demo the milliseconds of its slowest control."""
    rows, slowest = [], dict[str, float]()
    for ratios in found["benchmarks"].values():
        for name, figures in ratios.items():
            if name.endswith(", ms"):
                demo = name.partition(",")[0]
                slowest[demo] = max(slowest.get(demo, 0.0), figures["median"])
            else:
                demo = name.partition(":")[0]
                about = f", {slowest[demo]:.0f} ms" if demo in slowest else ""
                rows.append([name + about, *shown(figures)])
    return markdown_table(["ratio", "median", "lowest to highest"], rows, aligned=False)


def free(path: Path) -> Path:
    """`path`, or with -2, -3 … in its name: earlier results stay."""
    names = itertools.chain([path], (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2)))
    return next(name for name in names if not name.exists())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=270, help="no further round that would end later")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="-2 and so on is added where taken")
    parser.add_argument("--table", type=Path, help="only print the Markdown table of an earlier result")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(read_object(arguments.table)))
        return
    out, began = arguments.out.absolute(), time.monotonic()  # a notebook changes the folder
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    rounds = rounds_of(benchmarks(), arguments.seconds)
    found = report(rounds, time.monotonic() - began, load)
    for name, ratios in found["benchmarks"].items():
        print("", name, *lines(ratios), sep="\n")
    out = free(out)
    write_json(out, found)
    print(f"\nwritten to {out}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
