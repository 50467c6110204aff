"""Wrong options, damaged data sets, and files with a few bytes changed: parts of the campaign, as in `commands`."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import random
import re
import shlex
import shutil
import signal
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import command_line
from campaign.commands import HOW, LABELS, MODEL, TEST, TRAINED, Lab, call, damage
from campaign.judge import Tried, contents, run
from typer.models import ArgumentInfo, ParameterInfo

from sdcda_tutorial import masks
from sdcda_tutorial.cli import app
from sdcda_tutorial.cli.data import data_app
from sdcda_tutorial.datasets import open_dataset
from sdcda_tutorial.datasets.images import read_image
from sdcda_tutorial.datasets.own_data import make_dataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.results import Results
from sdcda_tutorial.experiments.cell_records import read_cells
from sdcda_tutorial.training.checkpoints import load_counter
from sdcda_tutorial.training.saving import read_log

# --- bad input --------------------------------------------------------------------------------------------------------
_ANY = ["", "x", "-1", "0", "nan", "9" * 30, "empty", "noise", "pipe", "data", "missing/x", "n" * 256, "\udcff", "a\nb"]
VALUES = {  # of an option of this type
    "int": ["", "x", "-1", "0", "nan", "1.5", "9" * 30],
    "float": ["", "x", "-1", "0", "nan", "inf", "1e400"],
    "Path": [*_ANY, ".", "points.csv", "points.csv/x", "locked", "/dev/null", "/dev/full", "n" * 255, "~nobody/x"],
    "str": [*_ANY, "inf", ",", "1,,2", "1e9", "-", "mini:", "mini:x", "gcc:", "gcc:missing", "gcc:data", "gcc:pipe",
            "shanghaitech-b:points.csv", "images:pictures", "images:empty", "images:a\nb", "ucf-qnrf:qnrf", "nosuch:x"],
}  # fmt: skip
# Such numbers are wishes that take as long, or as much memory, as they say.
WISHES = {"steps", "warm_steps", "translation_steps", "batch_size", "workers", "nodes", "keep"}
BASES = {  # a short call of every command
    "data mini": "--root world",
    "data make": "points.csv pictures made",
    "data check": "gcc data/mini/source",
    "masks": "--out new --steps 1",
    "train": "--method se+fd --out new --masks runs/mini/masks",
    "evaluate": f"--checkpoint {MODEL} --out new",
    "predict": f"pictures/a.jpg --checkpoint {MODEL} --out new",
    "benchmark": "--seeds 3 --methods noadapt --out new",
    "demo": "--out new",
    "doctor": "",
}
_EVALUATE = f"evaluate --checkpoint {MODEL} --out new --target"
SETS: list[tuple[str, str, list[str]]] = [  # folder, its files, commands that read them
    ("data/mini/source", "scene_00_0/jpgs/1530000000.jpg scene_00_0/mats/1530000001.mat scene_00_0/segs/1530000002.raw "
     "scene_00_0/jsons/1530000000.json train.txt test.txt scene_00_0/mats",
     ["train --method noadapt --source mini-source:data/mini --out new", "data check gcc data/mini/source"]),
    ("data/mini/third", "Images/third_00001.jpg annotation_train.odgt Images",
     ["masks --boxes mini-third:data/mini --out new", "data check crowdhuman data/mini/third"]),
    (TEST, "images/IMG_2.jpg ground-truth/GT_IMG_3.mat ground-truth images",
     [f"{_EVALUATE} mini-target:data/mini", "data check shanghaitech-b data/mini/target"]),
    ("own/train_data", "images/IMG_a.jpg ground_truth/GT_IMG_b.mat",
     [f"{_EVALUATE} shanghaitech:own --split train", "data check shanghaitech own"]),
    ("qnrf/Test", "img_0001.jpg img_0001_ann.mat", [f"{_EVALUATE} ucf-qnrf:qnrf", "data check ucf-qnrf qnrf"]),
    (".", "points.csv pictures/a.jpg pictures/b.png", ["data make points.csv pictures new"]),
    (".", "points.json pictures", ["data make points.json pictures new"]),
    (".", "data/mini/manifest.json runs/mini/masks/IMG_2.png",
     ["train --method se+fd --masks runs/mini/masks --out new"]),
    (".", "pictures/c.tif", [f"predict pictures/a.jpg pictures/c.tif --checkpoint {MODEL} --out new"]),
]  # fmt: skip


class Call(NamedTuple):
    """A call with one thing wrong: a value, or a damaged file."""

    what: str
    arguments: list[str]
    path: str = ""
    how: str = ""


@cache
def bad_calls() -> list[Call]:
    """All of them: a new option or command of the program is among them at once."""
    found = []
    for group in (app, data_app):
        for command in group.registered_commands:
            assert command.callback is not None
            name = ("data " if group is data_app else "") + (command.name or command.callback.__name__)
            place = len(name.split())
            base = [*name.split(), *shlex.split(BASES[name])]
            # Not `get_type_hints`: in Python 3.10 it wraps what is None by default into one more Optional.
            for parameter, hint in inspect.get_annotations(command.callback, eval_str=True).items():
                about = next((one for one in getattr(hint, "__metadata__", ()) if isinstance(one, ParameterInfo)), None)
                is_argument = isinstance(about, ArgumentInfo)
                for value in _values(parameter, str(hint.__origin__)) if about else []:
                    option = f"--{parameter.replace('_', '-')}={value}"
                    asked = [*base[:place], value, *base[place + 1 :]] if is_argument else [*base, option]
                    found.append(Call(f"{name}, {parameter} = {value[:40]!r}", asked))
                place += is_argument
    for folder, files, commands in SETS:
        for path in (f"{folder}/{file}" for file in files.split()):
            found += [Call(f"{line}, with {path} {how}", line.split(), path, how) for how in HOW for line in commands]
    return found


def _values(parameter: str, type_: str) -> list[str]:
    kind = next((kind for kind in VALUES if re.search(rf"\b{kind}\b", type_)), "")
    return [value for value in VALUES.get(kind, []) if not (parameter in WISHES and value == "9" * 30)]


def bad_input(number: int, rng: random.Random, lab: Lab) -> list[Tried]:
    """A wrong value of an option, or a damaged file of a data set: one line and exit code 2, and nothing is written."""
    calls = random.Random(lab.seed).sample(bad_calls(), len(bad_calls()))
    what, arguments, path, how = calls[number % len(calls)]
    with lab.home(*TRAINED, *LABELS, "own", "qnrf") as home:
        (home / "empty").touch()
        (home / "noise").write_bytes(random.Random(0).randbytes(1000))
        (home / "locked").touch(0)
        os.mkfifo(home / "pipe")
        if path:
            damage(home / path, how)
        before = command_line.files(home)
        ended = run(call(arguments), home)
        now = command_line.files(home)
    faults = ended.faults(0, 2, *([1] if "check" in arguments else []))
    for name in sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name)):
        short = name.removeprefix(f"{home}/")
        # Damage of an image shows when it is read; what was trained until then stays, and is gone on with.
        if (ended.code == 2 and not (path and short.startswith("new/"))) or "/." in f"/{short}":
            faults.append(f"{short} was written or left over")
    return [Tried(what, ended.code != 0, faults)]


# --- mutations --------------------------------------------------------------------------------------------------------
BATCH = 40  # mutations of one file, in one process
Read = Callable[[Path], Any]


def _numbers(value: Any) -> bytes:
    return str(value.shape).encode() + value.tobytes()


def _image(path: Path) -> Any:
    return _numbers(read_image(path))


def _samples(spec: str) -> Read:
    return lambda _: [
        (one.name, *map(_numbers, (one.image, one.points, one.boxes, *([] if one.mask is None else [one.mask]))))
        for one in open_dataset(spec)
    ]


def _weights(path: Path) -> Any:
    return {name: value.numpy().tobytes() for name, value in load_counter(path)[0].state_dict().items()}


def _command(line: str, result: str) -> Read:
    """Read by a command; of what it leaves, the pictures and the weights of the model are compared."""

    def read(_: Path) -> Any:
        done = command_line.run(*line.split())
        if done.code:
            raise InputError(done.complaint)
        found = {
            name: value for name, value in contents(Path(result)).items() if name.endswith(("l.safetensors", ".png"))
        }
        return {name: value[1] if isinstance(value, tuple) else value for name, value in found.items()}

    return read


def _make(labels: Path) -> Any:
    shutil.rmtree("made", ignore_errors=True)
    return make_dataset(labels, "pictures", "made", progress=False), contents(Path("made"))


RUN = "runs/mini/noadapt"
RESUME = _command("train --method noadapt --resume", RUN)
# A file, what reads it, and which mutations can give nothing else than the unharmed result: of what has a digest, all.
KINDS: dict[str, tuple[str, Read, str]] = {
    "jpg": ("pictures/a.jpg", _image, "cut"),
    "png": ("pictures/b.png", _image, "cut"),
    "png of 16 bits": ("pictures/deep.png", _image, "cut"),
    "tif": ("pictures/c.tif", _image, "cut"),
    "mask": ("runs/mini/masks/IMG_1.png", lambda path: _numbers(masks.read_png(path)), "cut"),
    "mat of ShanghaiTech": ("data/mini/target/part_B/train_data/ground-truth/GT_IMG_1.mat",
                            _samples("mini-target:data/mini"), "cut"),
    "mat of GCC": ("data/mini/source/scene_00_0/mats/1530000000.mat", _samples("mini-source:data/mini"), "cut"),
    "mat of UCF-QNRF": ("qnrf/Train/img_0001_ann.mat", _samples("ucf-qnrf:qnrf"), "cut"),
    "raw": ("data/mini/source/scene_00_0/segs/1530000000.raw", _samples("mini-source:data/mini"), "cut"),
    "odgt": ("data/mini/third/annotation_train.odgt", _samples("mini-third:data/mini"), ""),
    "train.txt": ("data/mini/source/train.txt", _samples("mini-source:data/mini"), ""),
    "points.csv": ("points.csv", _make, ""),
    "points.json": ("points.json", _make, ""),
    "model": (f"{RUN}/model.safetensors", _weights, "all"),
    "last": (f"{RUN}/last.safetensors", RESUME, "all"),
    "config": (f"{RUN}/config.json", RESUME, "all"),
    "provenance": ("runs/mini/masks/provenance.json", _command("masks", "runs/mini/masks"), "all"),
    "log": (f"{RUN}/metrics.jsonl", read_log, ""),
    "results": ("evaluated/se+fd.json", Results.from_json, ""),
    "cells": ("bench/cells.jsonl", read_cells, ""),
}  # fmt: skip


def mutate(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """A damaged copy; every second time near the beginning, where headers are."""
    reach = min(len(data), rng.choice([256, len(data)]))
    place, other, size = rng.randrange(reach), rng.randrange(len(data)), rng.randint(1, 16)
    how = rng.choice(["flip", "cut", "insert", "splice"])
    if how == "cut":
        return how, data[: rng.choice([place, len(data) - size])]
    if how == "insert":
        return how, data[:place] + rng.randbytes(size) + data[place:]
    if how == "splice":
        return how, data[:place] + data[other : other + 8 * size] + data[place + rng.choice([0, 8 * size]) :]
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        changed[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return how, bytes(changed)


def mutations(number: int, rng: random.Random, lab: Lab) -> list[Tried]:
    """A damaged file is refused in one line, or read as it was, or, where it has no digest, as another valid one."""
    kind = list(KINDS)[number % len(KINDS)]
    file, read, strict = KINDS[kind]
    sound = (lab.finished / file).read_bytes()
    damaged = [mutate(sound, rng) for _ in range(BATCH)]
    needs = {"runs": TRAINED, "pictures": LABELS, "points.csv": LABELS, "points.json": LABELS}
    top = file.split("/")[0]
    tried: list[Tried] = []
    with lab.home(*needs.get(top, (top,))) as home:
        while len(tried) < BATCH:
            left = [sound, *(data for _, data in damaged[len(tried) :])]
            ended = run(lambda left=left: _read_all(lab, file, read, left), home, limit=0)  # type: ignore[misc]
            (_, unharmed), *outcomes = [json.loads(line) for line in ended.out.splitlines() if line.startswith('["')]
            if len(tried) + len(outcomes) < BATCH:  # the next one has ended the process
                outcomes.append(("fault", ", ".join(ended.faults(0)) or f"exit code {ended.code}"))
            for how, said in outcomes:
                mutation = damaged[len(tried)][0]
                faults = [said] if how == "fault" else []
                if how == "read" and strict in ("all", mutation) and said != unharmed:
                    faults.append("silently read as something else")
                tried.append(Tried(f"{kind}, {mutation}, number {len(tried)} of the batch", how == "refused", faults))
    return tried


def _read_all(lab: Lab, file: str, read: Read, variants: list[bytes]) -> None:
    """In a process of its own: print a line for each variant of the file, how it was read; the first one is sound."""
    warnings.simplefilter("ignore")
    path = Path(file)
    for data in variants:
        signal.alarm(30)
        if file.startswith("runs"):  # commands go on with the whole folder
            shutil.rmtree(path.parent)
            shutil.copytree(lab.finished / path.parent, path.parent)
        path.write_bytes(data)
        try:
            outcome = "read", hashlib.sha256(repr(read(path)).encode("utf-8", "surrogatepass")).hexdigest()
        except InputError as error:
            lines = str(error).splitlines()
            outcome = ("refused", "") if len(lines) == 1 else ("fault", f"a message of {len(lines)} lines: {error}")
        except Exception as error:
            outcome = "fault", f"{type(error).__name__}: {error}"
        print(json.dumps(outcome), flush=True)
