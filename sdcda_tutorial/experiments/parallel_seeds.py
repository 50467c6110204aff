"""Several trainings at the same time, each in a process of its own: they know nothing of each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch

from sdcda_tutorial.training.processes import call_in_processes


def run_seeds_in_parallel(at_once: int, function: Callable[[int], Any], seeds: Sequence[int]) -> None:
    """Call `function(seed)` for every seed, up to `at_once` at the same time, each in a new process.

    A process gets its share of this one's threads and, where there are GPUs, one of them, in turn. The first that fails
    ends them all, as Ctrl-C does.

    Raises:
        Exception: as `call_in_processes`.
    """
    threads = {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // at_once))}
    gpus = _gpus(torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    own = [{"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} if gpus else {} for place in range(at_once)]
    call_in_processes(function, [(seed,) for seed in seeds], [threads | gpu for gpu in own])


def _gpus(number: int, visible: str | None) -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    return [str(gpu) for gpu in range(number)] if visible is None else visible.split(",")[:number]
