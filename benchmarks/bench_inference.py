"""Counting against the bare forward of E and C: `counter(x)` in evaluation mode, without gradients.

    python benchmarks/bench_inference.py [rounds]

The counters are those of the mini preset (a quarter of VGG's channels, stride 8) and of the paper (all of them, stride
16), with random weights.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rounds import in_turn, main

from sdcda_tutorial.folding import folded
from sdcda_tutorial.networks import CrowdCounter, image_batch
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.training.hardware import cpu_has_bf16

SIZES = {"mini": [(768, 1024), (1080, 1920)], "paper": [(768, 1024)]}
LARGE, LARGE_IF_QUICK = (5472, 7296), (1200, 2400)  # 40 and 3 megapixels: counted in tiles


def counter_of(name: str) -> CrowdCounter:
    torch.manual_seed(0)
    return CrowdCounter(stride=16 if name == "paper" else 8, width=1.0 if name == "paper" else 1 / 4).eval()


def picture(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def bare(counter: CrowdCounter, image: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return counter(image_batch(image[None]))[0, 0]


def in_bfloat16(counter: CrowdCounter, image: np.ndarray) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return predict_density(counter, image)


def large(size: tuple[int, int]) -> tuple[float, float]:
    """Seconds for a large photograph in a new process, and that process's peak memory in GiB (0 outside Linux)."""
    command = [sys.executable, __file__, "--large", *map(str, size)]
    seconds, peak = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return float(seconds), float(peak)


def _large(size: tuple[int, int]) -> None:
    counter, image = counter_of("mini"), picture(size)
    began = time.perf_counter()
    predict_density(counter, image)
    seconds, status = time.perf_counter() - began, Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
    print(seconds, int(found[1]) / 2**20 if found else 0.0)


def measure(quick: bool) -> dict[str, float]:
    """Times divided by that of the bare forward, and the peak memory of a process that counts a large photograph."""
    found = {}
    for name, sizes in SIZES.items():
        counter = counter_of(name)
        for height, width in sizes[: 1 if quick else None]:
            image = picture((height, width) if not quick else (512, 512))
            works: dict[str, Callable[[], object]] = {
                "bare": partial(bare, counter, image),
                "counting": partial(predict_density, counter, image),  # folds it first
                "counting, folded before": partial(predict_density, folded(counter), image),
            }
            if cpu_has_bf16():
                works["counting, bfloat16"] = partial(in_bfloat16, folded(counter), image)
            seconds = in_turn(works, 1 if quick or name == "paper" else 3)
            for way in list(works)[1:]:
                found[f"{way} / bare forward, {name}, {height} × {width}"] = seconds[way] / seconds["bare"]
        if name == "mini":
            size = LARGE_IF_QUICK if quick else LARGE
            pixels = size[0] * size[1]
            taken, peak = large(size)
            share = taken / pixels / (seconds["bare"] / (image.shape[0] * image.shape[1]))
            found["counting a large photograph / bare forward, mini, per pixel"] = share
            found["counting a large photograph, peak memory in GiB"] = peak
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--large"]:
        _large((int(sys.argv[2]), int(sys.argv[3])))
    else:
        main(measure)
