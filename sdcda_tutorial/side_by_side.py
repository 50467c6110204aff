"""Several trainings at the same time, each in a process and on a device of its own: they know nothing of each other.

A training of small networks does not fill two cores, let alone a GPU; two of them side by side do more than one after
the other. For one training on several devices see `processes`.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from sdcda_tutorial.errors import TrainingStopped


def side_by_side(number: int, function: Callable[..., Any], work: Sequence[tuple[Any, ...]]) -> None:
    """Call `function(*arguments)` for every item of `work`, up to `number` at a time, each in a new process.

    A process gets its share of the cores and, where there are GPUs, one of them, in turn.

    Raises:
        TrainingStopped: a process was killed.
        Exception: what a call raised, when the calls that had begun are done.
    """
    context = multiprocessing.get_context("spawn")  # a fork would not survive what CUDA or OpenMP have begun here
    places = context.Queue()
    for place in range(number):
        places.put(place)
    with ProcessPoolExecutor(
        number, mp_context=context, initializer=_settle, initargs=(places, number, _gpus())
    ) as pool:
        calls = [pool.submit(function, *arguments) for arguments in work]
        try:
            for call in calls:
                call.result()
        except BrokenProcessPool:
            raise TrainingStopped(
                "one of the processes was ended; was there memory enough? What was done stays done: ask again"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _settle(places: Any, number: int, gpus: Sequence[str]) -> None:
    """Before torch is imported here: take a place, and with it cores and a GPU."""
    place = places.get()
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // number))
    os.environ["TQDM_DISABLE"] = "1"  # bars of several processes would write over each other
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    numbers = range(torch.cuda.device_count())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(number) for number in numbers] if visible is None else visible.split(",")[: len(numbers)]
