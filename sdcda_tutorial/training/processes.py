"""Several processes that work on one thing, one a device, on one machine or on several.

`in_processes` starts those of this machine, unless torchrun or srun has started them already. Inside, `Hardware.launch`
lets them find each other; each then does its share (`shared_out`, `training.batches`). None of this imports torch.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sdcda_tutorial.errors import InputError, TrainingStopped

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn

T = TypeVar("T")

MEETING_POINT = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")  # what several machines must be told
GRACE = 5.0  # seconds to leave in order, before a process is killed


def in_processes(devices: int, nodes: int, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """What `function` returns in the first of devices × nodes processes; all of them call it.

    Where one process is asked for, or they are started already, it is an ordinary call. Otherwise function and
    arguments are pickled into new processes. One that fails ends them all, as Ctrl-C does.

    Raises:
        InputError: these processes cannot be had here.
        TrainingStopped: one of them was killed.
        RuntimeError: one of them failed unforeseen; the message is its traceback.
        Exception: an `InputError`, `TrainingStopped` or `OSError` of one of them is raised here: the first, once.
    """
    if devices * nodes == 1 or started():
        return function(*arguments, **options)
    context = multiprocessing.get_context("spawn")  # a fork would not survive what CUDA or OpenMP have begun here
    with tempfile.TemporaryDirectory(prefix="sdcda-") as outcomes:
        together = {"WORLD_SIZE": str(devices * nodes), **_meeting_point(nodes)}
        processes = [
            context.Process(
                target=call_in_process,
                args=(rank, together | {"LOCAL_RANK": str(rank)}, Path(outcomes), function, arguments, options),
            )
            for rank in range(devices)
        ]
        try:
            with deaf_to_interrupts():
                for process in processes:
                    process.start()
            failure = _wait(processes)
        finally:
            end_all(processes)
        return cast(T, outcome_of(Path(outcomes), failure))


def started() -> bool:
    """Whether torchrun, srun or `in_processes` has started this process as one of several."""
    return "LOCAL_RANK" in os.environ or _tasks_of_srun() > 1


def number_started() -> int | None:
    """How many processes they have started, over all machines; None if that is not told."""
    number = os.environ.get("WORLD_SIZE") if "LOCAL_RANK" in os.environ else str(_tasks_of_srun())
    return None if number is None else int(number)


def is_first() -> bool:
    """Whether this process is the one that speaks to the user."""
    ranks = ("RANK", "NODE_RANK", "LOCAL_RANK") if _tasks_of_srun() == 1 else ("SLURM_PROCID",)
    return all(os.environ.get(rank, "0") == "0" for rank in ranks)


def cluster_environment() -> Any:
    """Lightning-fabric's description of who has started this process."""
    from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    if "LOCAL_RANK" not in os.environ and _tasks_of_srun() > 1:
        return SLURMEnvironment(auto_requeue=False)
    return LightningEnvironment()


def shared_out(function: Callable[[int], T], number: int, fabric: Fabric | None, *, bar: str | None = None) -> list[T]:
    """[function(0), ..., function(number - 1)], each computed by one of the processes; all of them get the whole list.

    Args:
        bar: name of a progress bar, shown by the first process.
    """
    from tqdm.auto import tqdm

    rank, size = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
    hidden = bar is None or rank > 0
    with tqdm(range(rank, number, size), desc=bar, unit="image", dynamic_ncols=True, disable=hidden) as share:
        found = [function(index) for index in share]
    if size == 1:
        return found
    import torch

    shares: list[Any] = [None] * size
    torch.distributed.all_gather_object(shares, found)
    return [shares[index % size][index // size] for index in range(number)]


def average_buffers(module: nn.Module, fabric: Fabric) -> None:
    """Give all processes the mean of their buffers: each has put the statistics of its own images into batch norm."""
    if fabric.world_size == 1:
        return
    import torch

    buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
    mean = fabric.all_reduce(torch.cat([buffer.flatten() for buffer in buffers]), reduce_op="mean")
    assert isinstance(mean, torch.Tensor)
    for buffer, part in zip(buffers, mean.split([buffer.numel() for buffer in buffers]), strict=True):
        buffer.copy_(part.view_as(buffer))


def _tasks_of_srun() -> int:
    # In an interactive shell of a cluster srun has started the shell, not us.
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return 1 if interactive else int(os.environ.get("SLURM_NTASKS", "1"))


def _meeting_point(nodes: int) -> dict[str, str]:
    """Where the processes find each other: on this machine any free port, on several what the user has said."""
    if nodes == 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "NODE_RANK": "0"}
    missing = [name for name in MEETING_POINT if not os.environ.get(name)]
    if missing:
        raise InputError(
            f"{nodes} machines need {', '.join(MEETING_POINT)} in the environment, and {missing[0]} is missing; "
            "set them (address and a free port of the first machine; 0, 1, ... for this one), or use torchrun or srun"
        )
    rank = os.environ["NODE_RANK"]
    if not rank.isdigit() or int(rank) >= nodes:
        raise InputError(f"NODE_RANK is 0 to {nodes - 1} on {nodes} machines, not {rank!r}")
    return {name: os.environ[name] for name in MEETING_POINT}


def call_in_process(
    rank: int,
    environment: dict[str, str],
    outcomes: Path,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    bars: bool = True,
) -> None:
    """Process `rank` of this machine: call the function and leave its result or error in the folder `outcomes`."""
    if not bars:  # those of several processes would write over each other; what goes wrong is told by the parent
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a file half written is cleared away
    outcome: Any
    try:
        outcome = function(*arguments, **options)
    except (InputError, TrainingStopped, OSError) as error:
        outcome = error
    except Exception:
        outcome = RuntimeError(f"process {rank} failed\n{traceback.format_exc()}")
    failed = isinstance(outcome, Exception)
    if failed or rank == 0:
        (outcomes / f"{rank}.part").write_bytes(pickle.dumps(outcome))
        (outcomes / f"{rank}.part").rename(outcomes / str(rank))
    if failed:
        os._exit(1)  # at once: an orderly end may wait for the other processes, and these for ever
    if "torch" in sys.modules:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes started here do not hear Ctrl-C, which a terminal sends to all: their parent does, and ends them."""
    if threading.current_thread() is not threading.main_thread():  # others may not touch signals, nor do they get any
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _wait(processes: Sequence[BaseProcess]) -> str | None:
    """Wait until all are done, or one has failed: which, and how."""
    while True:
        codes = [process.exitcode for process in processes]  # once a turn: what ends in the middle of it, ends the next
        for rank, code in enumerate(codes):
            if code:
                return f"process {rank} ended with " + (f"signal {-code}" if code < 0 else f"exit code {code}")
        running = [process.sentinel for process, code in zip(processes, codes, strict=True) if code is None]
        if not running:
            return None
        connection.wait(running)


def end_all(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        if process.is_alive():
            process.terminate()
    for process in processes:
        if process.pid is not None:
            process.join(GRACE)
            process.kill()
            process.join()


def outcome_of(folder: Path, failure: str | None) -> Any:
    """What the first process returned; where any has failed, the error is raised that came first."""
    outcomes = {path.name: (path.stat().st_mtime_ns, pickle.loads(path.read_bytes())) for path in folder.glob("*[0-9]")}
    errors = [(when, outcome) for when, outcome in outcomes.values() if isinstance(outcome, Exception)]
    if errors:
        # Who loses the others fails too: what is meant to be read comes before that, and the first before the rest.
        raise min(errors, key=lambda e: (not isinstance(e[1], (InputError, TrainingStopped, OSError)), e[0]))[1]
    if failure is not None:
        raise TrainingStopped(f"{failure}, and the others were ended; was there memory enough?")
    return outcomes["0"][1]
