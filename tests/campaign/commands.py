"""Commands that are killed, that run two at once, and that meet damaged runs: parts of the campaign.

Each part is a function (number, rng, lab) that tries one thing, or a few, and judges it.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import native_files
import numpy as np
from campaign.judge import Process, Tried, contents, differences, run
from PIL import Image

from sdcda_tutorial.cli import main
from sdcda_tutorial.places import CLONE_HAS

MODEL, OTHER = "runs/mini/se+fd/model.safetensors", "runs/mini/noadapt/model.safetensors"
TEST = "data/mini/target/part_B/test_data"
PREDICT = f"predict {TEST}/images/IMG_1.jpg {TEST}/images/IMG_2.jpg --checkpoint {MODEL} --out predicted"
EVALUATE = f"evaluate --checkpoint {MODEL} --checkpoint {OTHER} --out evaluated"
BENCHMARK = "benchmark --seeds 1 --methods noadapt,se --out bench"
MAKE = "data make points.csv pictures made"


def call(command: str | list[str]) -> Callable[[], None]:
    """`sdcda COMMAND`, to be run in a process."""
    return lambda: main(shlex.split(command) if isinstance(command, str) else command)


def mark(home: Path) -> None:
    """Have a folder taken for a clone, in which the mini world is drawn; it lies in one that is."""
    (home / CLONE_HAS).parent.mkdir(parents=True, exist_ok=True)
    (home / CLONE_HAS).touch()


class Lab:
    """A finished home, of which every try gets its own copy."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder, self.seed, self.finished = folder, seed, folder / "finished"
        self._after: dict[Any, dict[str, Any]] = {}
        self.seconds: dict[Any, float] = {}  # that `after` took
        mark(self.finished)

    def furnish(self) -> None:
        """Fill the finished home: data of every format, and what each command makes of them."""
        for name, size in {"a.jpg": (40, 56), "b.png": (31, 47), "c.tif": (24, 32)}.items():
            native_files.write_picture(self.finished / "pictures" / name, size)
        deep = np.random.default_rng(0).integers(0, 2**16, (24, 32), dtype=np.uint16)
        Image.fromarray(deep).save(self.finished / "pictures/deep.png")
        (self.finished / "points.csv").write_text("image,x,y\na.jpg,1.5,2\na.jpg,30,20\nb.png,5,6\nc.tif,,\n")
        points = {"a.jpg": [[1.5, 2], [30, 20]], "b.png": [[5, 6]], "c.tif": []}
        (self.finished / "points.json").write_text(json.dumps(points))
        for split in ("Train", "Test"):
            native_files.write_qnrf(self.finished / "qnrf", 1, np.array([[3.0, 4], [20, 30]]), split=split)
        for command in (
            "data mini", "data make points.json pictures own", "train --method noadapt", "train --method se+fd",
            "train --method se+fd --seed 1 --out other", "train --method fd --seed 1 --out other",
            BENCHMARK.replace("seeds 1", "seeds 2"), BENCHMARK, EVALUATE,
        ):  # fmt: skip
            ended = run(call(command), self.finished)
            assert ended.code == 0, (command, ended)
        half, until = Process(call("train --method fd"), self.finished), time.monotonic() + 60
        while not (self.finished / "runs/mini/fd/last.safetensors").exists() and time.monotonic() < until:
            time.sleep(0.001)
        half.kill()  # after the first of two steps
        half.end()
        (self.finished / "runs/mini/fd/.sdcda-lock").unlink(missing_ok=True)  # which the next one would remove

    @contextmanager
    def home(self, *names: str) -> Iterator[Path]:
        """A folder with these files and folders of the finished home."""
        home = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            for name in names:
                copy = shutil.copytree if (self.finished / name).is_dir() else shutil.copy
                copy(self.finished / name, home / name)
            mark(home)
            yield home
        finally:
            shutil.rmtree(home)

    def after(self, names: tuple[str, ...], *commands: str) -> dict[str, Any]:
        """What is there when these commands have run unbroken, one after the other; found out once."""
        if (names, commands) not in self._after:
            with self.home(*names) as home:
                began = time.monotonic()
                for command in commands:
                    run(call(command), home)
                self.seconds[names, commands] = time.monotonic() - began
                self._after[names, commands] = contents(home)
        return self._after[names, commands]


# --- kills ------------------------------------------------------------------------------------------------------------
DATA, TRAINED, LABELS = ("data",), ("data", "runs"), ("points.csv", "points.json", "pictures")
WRITERS: list[tuple[tuple[str, ...], str, str]] = [  # home, command, what is added when it goes on
    ((), "data mini", ""),
    (LABELS, MAKE, ""),
    (DATA, "masks", ""),
    (DATA, "train --method noadapt", " --resume"),
    (DATA, "train --method se+fd", " --resume"),
    (DATA, "train --method cyclegan", " --resume"),
    (DATA, BENCHMARK, ""),
    (TRAINED, EVALUATE, ""),
    (TRAINED, f"{PREDICT} --save-map --json counts.json --csv counts.csv", ""),
    (TRAINED, "train --method se-cyclegan", " --resume"),
]


def kills(number: int, rng: random.Random, lab: Lab) -> list[Tried]:
    """SIGKILL at a random moment; the same command again ends as the unbroken one, and nothing is left over."""
    names, command, again = WRITERS[number % len(WRITERS)]
    wanted = lab.after(names, command)
    delay = rng.random() * lab.seconds[names, (command,)]
    with lab.home(*names) as home:
        process = Process(call(command), home)
        time.sleep(delay)
        process.kill()
        faults = process.end().faults(0, killed=True)
        ended = run(call(command + again), home)
        # Killed at its very end, `data make` has made all, and refuses to do it over.
        faults += [f"again: {fault}" for fault in ended.faults(0, *([2] if command == MAKE else []))]
        faults += differences(contents(home), wanted)
    return [Tried(f"{command}, killed after {delay:.2f} s", ended.code == 2, faults)]


# --- pairs ------------------------------------------------------------------------------------------------------------
ONE = "benchmark --seeds 1 --methods noadapt --out bench"
PAIRS: list[tuple[tuple[str, ...], str, str]] = [
    (DATA, "train --method noadapt", "train --method noadapt"),
    (DATA, "train --method se+fd", "train --method fd"),
    (DATA, "masks", "masks"),
    (DATA, "masks", "train --method se"),
    (TRAINED, "train --method cyclegan", "train --method se-cyclegan"),
    (TRAINED, PREDICT, PREDICT),
    (TRAINED, PREDICT, PREDICT.replace(MODEL, OTHER)),
    (TRAINED, EVALUATE, EVALUATE),
    (TRAINED, EVALUATE, f"{EVALUATE} --target shanghaitech-b:data/mini/target --split train"),
    (TRAINED, EVALUATE.replace("noadapt", "fd"), "train --method fd --resume"),
    (DATA, BENCHMARK, BENCHMARK),
    (DATA, ONE, ONE.replace("seeds 1", "seeds 2")),
    ((), "data mini", "data mini"),
    ((), "data mini --root world --seed 1", "data mini --root world --seed 2"),
    ((), "data mini", "train --method noadapt"),
    (LABELS, MAKE, MAKE.replace("csv", "json")),
    (LABELS, MAKE, f"{MAKE} --split test"),
]


def pairs(number: int, rng: random.Random, lab: Lab) -> list[Tried]:
    """Two commands at once in one folder leave what they leave one after the other; or one is refused."""
    names, *commands = PAIRS[number % len(PAIRS)]
    rng.shuffle(commands)
    first, second = commands
    right = [lab.after(names, first, second), lab.after(names, second, first)]
    delay = rng.choice([0, rng.random()]) * lab.seconds[names, (first, second)] / 2
    with lab.home(*names) as home:
        processes = [Process(call(first), home)]
        time.sleep(delay)
        processes.append(Process(call(second), home))
        ended = [process.end() for process in processes]
        found = contents(home)
    faults = [fault for one in ended for fault in one.faults(0, 2)]
    refused = [one.err.strip().splitlines()[-1] for one in ended if one.code == 2]
    if len(refused) == 2:
        faults.append("both were refused")
    elif refused:
        right.append(lab.after(names, commands[ended[0].code != 0]))
    faults += min((differences(found, one) for one in right), key=len)
    return [Tried(f"{first} | {delay:.2f} s later {second} {refused}", bool(refused), faults)]


# --- damaged runs -----------------------------------------------------------------------------------------------------
HOW = ["missing", "empty", "cut", "cut by a byte", "twice", "garbled", "zeros", "folder", "pipe", "locked"]


def damage(path: Path, how: str, other: Path | None = None) -> None:
    """Change a file or folder, put something else in its place, or remove it."""
    data = path.read_bytes() if path.is_file() else b""
    half = len(data) // 2
    changed = {
        "empty": b"", "cut": data[:half], "cut by a byte": data[:-1], "twice": 2 * data, "locked": data,
        "garbled": data[:half] + random.Random(0).randbytes(len(data) - half), "zeros": bytes(len(data)),
        "of another run": other.read_bytes() if other and other.is_file() else b"",
    }  # fmt: skip
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how != "missing":
        path.write_bytes(changed[how])
        path.chmod(0 if how == "locked" else 0o644)  # root reads it all the same


def damaged(number: int, rng: random.Random, lab: Lab) -> list[Tried]:
    """A run with a damaged file is refused and left as it was, or gives the results of the whole one."""
    bench = number % 3 == 2
    where, other, last = ("bench/seed_1", "bench/seed_2", "se") if bench else ("runs/mini", "other", "se+fd")
    parts = {last, "fd", "warm_start", "segmenter", "masks"}
    paths = sorted(path for path in (lab.finished / where).glob("*/*") if path.parent.name in parts)
    path = rng.choice(paths).relative_to(lab.finished / where)
    how = rng.choice([*HOW, "of another run", "of another run"])
    tried = []
    trains = [f"train --method {method} --resume" for method in ("se+fd", "fd", "se")]  # finished, half-done, to begin
    for command in [BENCHMARK] if bench else [*trains, EVALUATE, PREDICT]:
        names = ("bench",) if bench else TRAINED
        with lab.home(*names) as home:
            damage(home / where / path, how, lab.finished / other / path)
            before = contents(home)
            ended = run(call(command), home)
            now = contents(home)
        if ended.code == 2:  # what one has is kept
            wrong = differences({name: now[name] for name in now if name in before}, before)
        else:
            wrong = differences(now, lab.after(names, command))
            if now.get(f"{where}/{path}") == before.get(f"{where}/{path}"):  # it was of no use to the command
                wrong = [one for one in wrong if not one.startswith(f"{where}/{path} ")]
        what = f"{command}, with {where}/{path} {how}"
        tried.append(Tried(what, ended.code == 2, ended.faults(0, 2) + wrong))
    return tried
