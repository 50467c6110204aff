"""One process at a time writes to a folder; what a killed one left half-written there is removed.

The lock is the operating system's, on a file `.sdcda-lock`: it ends with its process, however that ends, so none is
ever stale. The file goes with the lock; one that a kill left behind is used again.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import write_json

if TYPE_CHECKING:
    from lightning_fabric import Fabric

NAME = ".sdcda-lock"
PATIENCE = 1.0  # seconds that a process which was just killed may take to be gone
_POLL = 0.1  # seconds
_LEFTOVER = re.compile(r"\.tmp-[0-9a-f]{16}(\.[^.]+)?")  # what `files.atomic_path` calls a file in the making


@contextmanager
def one_writer(
    folder: str | os.PathLike[str],
    *,
    wait: float = PATIENCE,
    fabric: Fabric | None = None,
    also: Iterable[Path] = (),
    beside: bool = False,
) -> Iterator[bool]:
    """Be the only process (and thread) that writes to `folder` in this block; whoever holds it may ask again.

    Where locks are taken one within another, the inner ones are of parts that the outer one needs, and no part needs
    an outer one: so nobody waits in a circle. Gives False where there is no lock: in a folder that cannot be written
    to, as its first file will say, and on a file system without locks, which is said.

    Args:
        folder: made where it is missing, with those above it, and removed again if nothing is written; files that a
            killed writer left half-written in it are removed.
        wait: seconds to wait for another process; `math.inf`: as long as it takes.
        fabric: where several processes fill the folder together, all of them call this, and the first one has the lock.
        also: folders to which only the holder of this lock writes; they are cleared likewise.
        beside: the lock's file is .NAME.sdcda-lock beside `folder`, which appears in one piece and is left as it is.
    Raises:
        InputError: another process is still writing.
    """
    whole = Path(os.path.realpath(folder))
    lock = FileLock(whole.with_name(f".{whole.name}.sdcda-lock") if beside else whole / NAME, is_singleton=True)
    first = fabric is None or fabric.is_global_zero
    missing = [] if beside else [place for place in (whole, *whole.parents) if not place.exists()]
    end, told = time.monotonic() + wait, time.monotonic() + PATIENCE
    while True:
        state = (_take(lock), time.monotonic() > end) if first else (False, False)
        held, late = state if fabric is None else fabric.broadcast(state)
        if held is not False:
            break
        if late:
            raise InputError(f"another process is writing to {folder}; wait for it, or choose another `folder`")
        if first and time.monotonic() > told:
            print(f"another process is writing to {folder}; waiting for it", file=sys.stderr, flush=True)
            told = float("inf")
        time.sleep(_POLL)
    ours = None
    try:
        if held and first:
            ours = os.stat(lock.lock_file)  # somebody may remove it, and another process then have one of its own there
            for place in also if beside else {whole, *also}:
                remove_leftovers(place)
        yield bool(held)
        if ours is not None and not _is(ours, lock.lock_file):
            raise InputError(f"{folder} was removed or replaced while this wrote to it; do not use what is there")
    finally:
        if held and first:
            if lock.lock_counter == 1:
                # While it is ours; who has opened it meanwhile finds it without a name, and opens a new one.
                with suppress(OSError):
                    if ours is not None and _is(ours, lock.lock_file):
                        os.unlink(lock.lock_file)
                    for place in missing:
                        place.rmdir()  # refuses a folder that is not empty
            lock.release()


def _is(known: os.stat_result, file: str) -> bool:
    try:
        return os.path.samestat(os.stat(file), known)
    except OSError:
        return False


def _take(lock: Any) -> bool | None:
    """Whether the lock is ours now; None where there can be none."""
    folder = Path(lock.lock_file).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except (Timeout, FileNotFoundError):  # the second: its holder has just removed the folder
        return False
    except OSError as error:
        if folder.is_dir() and os.access(folder, os.W_OK):
            reason = error.strerror or error
            print(f"{folder} cannot be locked ({reason}): let no other process write to it", file=sys.stderr)
        return None
    return True


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left half-written in `folder`, where no other process may be writing now."""
    with suppress(OSError):
        for path in [path for path in folder.iterdir() if _LEFTOVER.fullmatch(path.name)]:
            if path.is_file() and not path.is_symlink():
                path.unlink()


def write_cache(path: Path, value: Any) -> None:
    """As `write_json`, to a folder that many processes use for a moment each."""
    with one_writer(path.parent, wait=10):
        write_json(path, value)
