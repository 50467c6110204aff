"""Several trainings at the same time, each in a process of its own: they know nothing of each other.

For one training on several devices see `processes`, whose care for what may go wrong this shares.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from sdcda_tutorial.training.processes import call_in_process, deaf_to_interrupts, end_all, outcome_of


def side_by_side(number: int, function: Callable[..., Any], work: Sequence[tuple[Any, ...]]) -> None:
    """Call `function(*arguments)` for every item of `work`, up to `number` at the same time, each in a new process.

    A process gets its share of this one's threads and, where there are GPUs, one of them, in turn. The first that fails
    ends them all, as Ctrl-C does.

    Raises:
        as `in_processes`, of what is called.
    """
    context = multiprocessing.get_context("spawn")
    threads = str(max(1, torch.get_num_threads() // number))
    gpus = _gpus(torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    waiting = list(enumerate(work))[::-1]
    places: dict[int, BaseProcess] = {}
    with tempfile.TemporaryDirectory(prefix="sdcda-") as outcomes:
        try:
            while waiting or places:
                for place in range(number):
                    if place not in places and waiting:
                        item, arguments = waiting.pop()
                        own = {"OMP_NUM_THREADS": threads}
                        if gpus:
                            own["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]
                        places[place] = context.Process(
                            target=call_in_process,
                            args=(item, {}, Path(outcomes), function, arguments, {}, place == 0),
                        )
                        with deaf_to_interrupts(), _environment(own):  # there from the start: torch looks early
                            places[place].start()
                connection.wait([process.sentinel for process in places.values()])
                for place, process in list(places.items()):
                    if process.exitcode is not None:
                        del places[place]
                        if process.exitcode:
                            outcome_of(Path(outcomes), f"a process ended with exit code {process.exitcode}")
        finally:
            end_all(list(places.values()))


def _gpus(number: int, visible: str | None) -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    return [str(gpu) for gpu in range(number)] if visible is None else visible.split(",")[:number]


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
