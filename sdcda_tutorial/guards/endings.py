"""How processes end: in order when the system asks them to, and never later than the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

# SIGTERM comes from `kill`, from a cluster or at shutdown, SIGHUP when the terminal closes; Windows has no SIGHUP.
_ASKED_TO_END = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


_PATIENCE = 5.0  # seconds


@contextmanager
def in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP leave the block by `SystemExit`, with 128 + their number: what is half done is cleared away.

    A signal that is ignored (by `nohup`) or handled already stays as it is.
    """
    received: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:  # a second one must not interrupt the clearing away
            sys.exit(128 + number)

    main = threading.current_thread() is threading.main_thread()  # others may not touch signals
    ours = [number for number in _ASKED_TO_END if main and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    except Exception:
        if received:  # it follows from the end of our own processes, which may have got the signal too
            sys.exit(128 + received[0])
        raise
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def left_to_the_parent() -> Iterator[None]:
    """Processes started here ignore what a terminal sends to all, Ctrl-C and SIGHUP: their parent ends them."""
    if threading.current_thread() is not threading.main_thread():  # others may not touch signals, nor do they get any
        yield
        return
    numbers = [signal.SIGINT, *_ASKED_TO_END[1:]]
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def end_after_parent(_: int) -> None:
    """As `end_with_parent`, for a loader's worker: what is sent to the whole group, the parent deals with first.

    Its worker that dies at once would be an error in the parent's own end.
    """

    def later(*_: object) -> None:
        timer = threading.Timer(_PATIENCE, os._exit, [1])
        timer.daemon = True  # who ends in order does not wait for it
        timer.start()

    for number in _ASKED_TO_END:
        signal.signal(number, later)
    end_with_parent()


def end_with_parent(clear: Path | int | None = None) -> None:
    """In a process of multiprocessing: end when the parent does, even by SIGKILL, and remove the folder `clear`.

    It can be a worker's initialiser as it is; the worker's number, which PyTorch passes, is not needed.
    """

    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()  # on a pipe that closes with the parent
        if isinstance(clear, Path):
            shutil.rmtree(clear, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
