"""Several processes: one per device for one training, on one machine or on several; or one per independent call.

`in_processes` starts the processes of one training on this machine, unless torchrun or srun has started them already.
Inside, `Hardware.launch` connects them; each then does its share (`shared_out`, `datasets.batches`). Starting them does
not import torch.
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
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.guards.endings import end_with_parent, left_to_the_parent
from sdcda_tutorial.guards.output import protect

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn

S = TypeVar("S")
T = TypeVar("T")

MEETING_POINT = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")  # variables that several machines need
GRACE = 5.0  # seconds for a process to leave in order before it is killed


def in_processes(devices: int, nodes: int, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Call `function` in devices × nodes processes and return the result of the first one.

    With one process, or where they are started already, it is an ordinary call.

    Raises:
        InputError: these processes cannot be had here.
        Exception: see `call_in_processes`.
    """
    if devices * nodes == 1 or started():
        return function(*arguments, **options)
    together = {"WORLD_SIZE": str(devices * nodes), **_meeting_point(nodes)}
    environments = [together | {"LOCAL_RANK": str(rank)} for rank in range(devices)]
    return cast(T, call_in_processes(partial(function, *arguments, **options), [()] * devices, environments))


def call_in_processes(
    function: Callable[..., Any], work: Sequence[tuple[Any, ...]], environments: Sequence[Mapping[str, str]]
) -> Any:
    """Call `function(*arguments)` for every item of `work`, each in a new process; return the first call's result.

    Function and arguments are pickled. One process that fails ends them all, as Ctrl-C and the death of this one do.
    `ProcessPoolExecutor` does not fit: its processes are reused and share one environment, and when one call fails the
    others continue.

    Args:
        environments: variables that are set from the start (torch reads them early). As many processes run at a time,
            each in the first free one of these. Only those in the first one show progress bars and warnings.

    Raises:
        TrainingStopped: a process was killed.
        RuntimeError: a process failed unforeseen; the message is its traceback.
        Exception: an `InputError`, `TrainingStopped` or `OSError` of a process is raised here: the first, once.
    """
    context = multiprocessing.get_context("spawn")  # a fork would not survive what CUDA or OpenMP have begun here
    waiting = list(enumerate(work))[::-1]
    running: dict[int, tuple[int, BaseProcess]] = {}  # by the place of the environment
    failure = None
    with tempfile.TemporaryDirectory(prefix="sdcda-") as outcomes:
        try:
            while failure is None and (waiting or running):
                for place, environment in enumerate(environments):
                    if waiting and place not in running:
                        number, arguments = waiting.pop()
                        call = (number, place > 0, Path(outcomes), function, arguments)
                        running[place] = number, context.Process(target=_call, args=call)
                        with left_to_the_parent(), _environment(environment):
                            running[place][1].start()
                connection.wait([process.sentinel for _, process in running.values()])
                for place, (number, process) in list(running.items()):
                    code = process.exitcode
                    if code and failure is None:
                        ended = f"signal {-code}" if code < 0 else f"exit code {code}"
                        failure = f"process {number} ended with {ended}"
                    if code is not None:
                        del running[place]
        finally:
            left = [process for _, process in running.values() if process.pid is not None]
            for process in left:
                process.terminate()
            for process in left:
                process.join(GRACE)
                process.kill()
                process.join()
        return outcome_of(Path(outcomes), failure)


def started() -> bool:
    """Whether torchrun, srun or `in_processes` has started this process as one of several."""
    return "LOCAL_RANK" in os.environ or _tasks_of_srun() > 1


def number_started() -> int | None:
    """How many processes they have started, over all machines; None if unknown."""
    number = os.environ.get("WORLD_SIZE") if "LOCAL_RANK" in os.environ else str(_tasks_of_srun())
    return None if number is None else int(number)


def is_first() -> bool:
    """Whether this process is the one that speaks to the user.

    A rank says so only beside what a launcher sets with it: some clusters give every single process a RANK.
    """
    if _tasks_of_srun() > 1:
        ranks: tuple[str, ...] = ("SLURM_PROCID",)
    else:
        ranks = ("RANK", "NODE_RANK", "LOCAL_RANK") if "LOCAL_RANK" in os.environ else ()
        ranks += ("NODE_RANK",) if "MASTER_ADDR" in os.environ else ()
    return all(os.environ.get(rank, "0") == "0" for rank in ranks)


def cluster_environment() -> Any:
    """Lightning-fabric's description of the launcher of this process."""
    from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    if "LOCAL_RANK" not in os.environ and _tasks_of_srun() > 1:
        return SLURMEnvironment(auto_requeue=False)
    return LightningEnvironment()


def shared_out(
    function: Callable[[S], T], items: Sequence[S], fabric: Fabric | None, *, bar: str | None = None
) -> list[T]:
    """[function(items[0]), function(items[1]), ...], each computed by one of the processes; all get the whole list.

    A process reads its next item while it works on the one before, as `read_ahead` says. The first shows a progress bar
    named `bar`.
    """
    from tqdm.auto import tqdm

    rank, size = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
    hidden = bar is None or rank > 0
    mine = range(rank, len(items), size)
    with (
        closing(read_ahead(items, mine)) as read,
        tqdm(read, desc=bar, total=len(mine), unit="image", dynamic_ncols=True, disable=hidden) as share,
    ):
        found = [function(item) for item in share]
    if size == 1:
        return found
    import torch

    shares: list[Any] = [None] * size
    torch.distributed.all_gather_object(shares, found)
    return [shares[index % size][index // size] for index in range(len(items))]


def read_ahead(items: Sequence[S], indices: Sequence[int]) -> Generator[S]:
    """The items at these indices, in order; while the caller works with one, a thread reads the next, and no more.

    What reading an item raises is raised in its turn, after all items before it.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
        upcoming = [reader.submit(items.__getitem__, index) for index in indices[:1]]
        for following in range(1, len(indices) + 1):
            item = upcoming.pop().result()
            if following < len(indices):
                upcoming.append(reader.submit(items.__getitem__, indices[following]))
            yield item


def average_buffers(module: nn.Module, fabric: Fabric) -> None:
    """Give all processes the mean of their buffers, since batch norm has seen other images in each of them."""
    if fabric.world_size == 1:
        return
    import torch

    buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
    mean = fabric.all_reduce(torch.cat([buffer.flatten() for buffer in buffers]), reduce_op="mean")
    assert isinstance(mean, torch.Tensor)
    for buffer, part in zip(buffers, mean.split([buffer.numel() for buffer in buffers]), strict=True):
        buffer.copy_(part.view_as(buffer))


def _tasks_of_srun() -> int:
    # In an interactive shell of a cluster srun has started the shell, not us. SLURM_NTASKS is no evidence: it is what a
    # job has asked for, even where its script starts us without srun, once.
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return 1 if interactive else int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))


def _meeting_point(nodes: int) -> dict[str, str]:
    """Where the processes find each other: on one machine at any free port, on several where the user says."""
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


def _call(number: int, quiet: bool, outcomes: Path, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """In a new process: call the function and leave its error, or the first call's result, in the folder `outcomes`."""
    protect("stdout"), protect("stderr")
    if quiet:  # bars of several processes would write over each other; the parent reports errors
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    from tqdm.auto import tqdm

    tqdm.set_lock(threading.RLock())  # its own is shared by processes, and left behind by one that is killed
    end_with_parent(clear=outcomes)
    signal.signal(signal.SIGTERM, _end_in_order)
    outcome: Any
    try:
        outcome = function(*arguments)
    except (InputError, TrainingStopped, OSError) as error:
        outcome = error
    except Exception:
        outcome = RuntimeError(f"process {number} failed\n{traceback.format_exc()}")
    failed = isinstance(outcome, Exception)
    if failed or number == 0:
        (outcomes / f"{number}.part").write_bytes(pickle.dumps(outcome))
        (outcomes / f"{number}.part").rename(outcomes / str(number))
    if failed:
        os._exit(1)  # at once: an orderly end may wait for the other processes, and these for ever
    if "torch" in sys.modules:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _end_in_order(*_: Any) -> None:
    """So that a file half written is cleared away, which a second signal must not interrupt."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Processes started here have these variables."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def outcome_of(folder: Path, failure: str | None) -> Any:
    """Result of the first call; where calls have failed, the first error is raised."""
    paths = sorted(folder.glob("*[0-9]"), key=lambda path: path.stat().st_mtime_ns)
    outcomes = {path.name: pickle.loads(path.read_bytes()) for path in paths}
    errors = [outcome for outcome in outcomes.values() if isinstance(outcome, Exception)]
    if errors:  # a process that loses the others fails too, so an error that has a message for the user goes first
        raise min(errors, key=lambda error: not isinstance(error, (InputError, TrainingStopped, OSError)))
    if failure is not None:
        raise TrainingStopped(f"{failure}, and the others were ended; was there memory enough?")
    return outcomes["0"]
