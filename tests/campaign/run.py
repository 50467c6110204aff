"""A campaign of faults against the command line: kills, bad input, damaged files, commands at once.

    python tests/campaign/run.py --minutes 10 --seed 0

Every try follows from the seed and its number; but what a kill meets depends on the machine too. A violation is printed
with the options that repeat it, and the exit code is then 1.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import pkgutil
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import lightning_fabric  # noqa: F401 (like the package, imported once before all forks)
import torch
from campaign import commands, inputs
from command_line import small_home

import sdcda_tutorial

PARTS = {  # and how often, by default
    "kills": (commands.kills, 50),
    "bad_input": (inputs.bad_input, 300),
    "mutations": (inputs.mutations, 4000 // inputs.BATCH),
    "pairs": (commands.pairs, 20),
    "damaged": (commands.damaged, 12),  # folders, each of which meets one command or three
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20, help="stop then, whatever is left to try (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="decides what is tried")
    parser.add_argument("--only", metavar="PART:NUMBER", help="one try again, such as kills:7")
    for name, (_, number) in PARTS.items():
        unit = f"batches of {inputs.BATCH}" if name == "mutations" else "tries"
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=number, help=f"{unit} (default {number})")
    return parser.parse_args()


def campaign(asked: argparse.Namespace, lab: commands.Lab) -> int:
    """Try all, print a table, and give the number of violations."""
    counts: Counter[tuple[str, str]] = Counter()
    end = time.monotonic() + 60 * asked.minutes
    chosen = {name: range(getattr(asked, name)) for name in PARTS if getattr(asked, name)}
    if asked.only:
        name, _, number = asked.only.partition(":")
        chosen = {name: range(int(number), int(number) + 1)}
    for left, (name, numbers) in zip(range(len(chosen), 0, -1), chosen.items(), strict=True):
        until = time.monotonic() + (end - time.monotonic()) / left  # what one part leaves goes to the next ones
        for number in numbers:
            if time.monotonic() > until:
                print(f"{name}: the time is up after {number} of {len(numbers)}", flush=True)
                break
            for tried in PARTS[name][0](number, random.Random(f"{asked.seed} {name} {number}"), lab):
                counts[name, "tried"] += 1
                counts[name, "wrong" if tried.faults else "refused" if tried.refused else "done"] += 1
                if tried.faults or asked.only:
                    again = f"--seed {asked.seed} --only {name}:{number}"
                    print(f"{name}: {tried.what}", *tried.faults[:4], again, sep="\n    ", flush=True)
    print(f"\n{'':12}{'tried':>8}{'done right':>12}{'refused':>9}{'violations':>12}")
    for name in chosen:
        tried_, done, refused, wrong = (counts[name, what] for what in ("tried", "done", "refused", "wrong"))
        print(f"{name:12}{tried_:8}{done:12}{refused:9}{wrong:12}")
    return sum(counts[name, "wrong"] for name in chosen)


def main() -> None:
    asked = options()
    torch.set_num_threads(1)  # a fork has none of its parent's threads
    for module in pkgutil.walk_packages(sdcda_tutorial.__path__, "sdcda_tutorial."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.freeze()  # what the forks share stays shared
    folder = Path(tempfile.mkdtemp(prefix="campaign-")).resolve()
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    try:
        with small_home(folder):
            lab = commands.Lab(folder, asked.seed)
            lab.furnish()
            sys.exit(campaign(asked, lab) > 0)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
