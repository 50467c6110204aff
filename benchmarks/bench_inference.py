"""How long counting takes, as a share of the bare forward of E and C: `counter(x)` in evaluation mode, no gradients.

    python benchmarks/bench_inference.py [repeats] [--paper]

The counters are those of the mini preset (a quarter of VGG's channels, stride 8) and of the paper (all of them, stride
16), with random weights. `--paper` also counts the large photograph with the paper's counter, which takes minutes.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sdcda_tutorial.folding import folded
from sdcda_tutorial.networks import CrowdCounter, image_batch
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.training.hardware import cpu_has_bf16

SIZES = {"768×1024": (768, 1024), "1080×1920": (1080, 1920)}
LARGE, LARGE_IF_QUICK = (5472, 7296), (2400, 3000)  # 40 and 7 megapixels
WIDTHS = {"mini": 1 / 4, "paper": 1.0}


def counter_of(name: str) -> CrowdCounter:
    torch.manual_seed(0)
    return CrowdCounter(stride=16 if name == "paper" else 8, width=WIDTHS[name]).eval()


def picture(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def bare(counter: CrowdCounter, image: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return counter(image_batch(image[None]))[0, 0]


def in_bfloat16(counter: CrowdCounter, image: np.ndarray) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return predict_density(counter, image)


def in_turn(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each; a slow minute of the machine is shared by all. The first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def large(name: str, size: tuple[int, int]) -> tuple[float, float]:
    """Seconds for a large photograph in a new process, and the process's peak memory in GiB (0 outside Linux)."""
    command = [sys.executable, __file__, "--large", name, *map(str, size)]
    seconds, peak = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return float(seconds), float(peak)


def _large(name: str, height: str, width: str) -> None:
    counter, image = counter_of(name), picture((int(height), int(width)))
    began = time.perf_counter()
    predict_density(counter, image)
    seconds, status = time.perf_counter() - began, Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
    print(seconds, int(found[1]) / 2**20 if found else 0.0)


def measure(quick: bool, repeats: int = 5, paper: bool = False) -> dict[str, float]:
    """Ratios by name; all but the last two of a counter are times, divided by the bare forward's.

    "NAME, SIZE": `predict_density` of the counter, which folds it first. "NAME, SIZE, folded": of one that is folded.
    "NAME, SIZE, bfloat16": the same in bfloat16, where the CPU computes in it; "NAME, SIZE, bfloat16 count": by which
    share that changes the count. "NAME, N megapixels": per pixel, against the bare forward of 1080×1920; "NAME, N
    megapixels, GiB": the peak memory of the process, torch and the image included.

    Args:
        quick: one repeat, the small size only, and 7 instead of 40 megapixels.
        paper: count the large photograph with the paper's counter, too.
    """
    found: dict[str, float] = {}
    for name in WIDTHS:
        counter = counter_of(name)
        ready, seconds = folded(counter), {}
        for size_name, size in list(SIZES.items())[: 1 if quick else None]:
            image = picture(size)
            works: dict[str, Callable[[], object]] = {
                "bare": lambda image=image, counter=counter: bare(counter, image),  # type: ignore[misc]
                "": lambda image=image, counter=counter: predict_density(counter, image),  # type: ignore[misc]
                ", folded": lambda image=image, ready=ready: predict_density(ready, image),  # type: ignore[misc]
            }
            if cpu_has_bf16():
                works[", bfloat16"] = lambda image=image, ready=ready: in_bfloat16(ready, image)  # type: ignore[misc]
                change = float(in_bfloat16(ready, image).sum() / predict_density(ready, image).sum() - 1)
                found[f"{name}, {size_name}, bfloat16 count"] = abs(change)
            seconds = in_turn(works, 1 if quick else repeats)
            found |= {f"{name}, {size_name}{way}": seconds[way] / seconds["bare"] for way in works if way != "bare"}
            per_pixel = seconds["bare"] / (size[0] * size[1])
        if name == "mini" or paper:
            size = LARGE_IF_QUICK if quick else LARGE
            pixels = size[0] * size[1]
            taken, peak = large(name, size)
            key = f"{name}, {pixels / 1e6:.0f} megapixels"
            found |= {key: taken / pixels / per_pixel, f"{key}, GiB": peak}
    return found


def main() -> None:
    if sys.argv[1:2] == ["--large"]:
        _large(*sys.argv[2:])
        return
    arguments = [argument for argument in sys.argv[1:] if argument != "--paper"]
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    found = measure(False, int(arguments[0]) if arguments else 5, "--paper" in sys.argv)
    for name, ratio in found.items():
        print(f"{name:36s} {ratio:8.4f}")


if __name__ == "__main__":
    main()
