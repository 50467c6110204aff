"""Run a command in a process of its own, and say what is wrong with how it ended and with what it left behind.

A process is a fork: torch has been imported already, and a command that takes a user five seconds to start begins at
once. POSIX only.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sdcda_tutorial.training import checkpoints

LIMIT = 60  # seconds until a command hangs; the longest takes five
GRACE = 5.0  # seconds that the children of a killed process have to end by themselves
_OF_ITS_TIME = {"date", "seconds"}  # differ from one run to the next
_PLACE_IN_THE_CODE = re.compile(r"site-packages|\.py:\d+")


@dataclass
class Tried:
    """One thing that was tried: what, whether the input was refused, and what is wrong with how it went."""

    what: str
    refused: bool = False
    faults: list[str] = field(default_factory=list)


@dataclass
class Ended:
    """How a process ended: its exit code, or minus the signal; what it said; whether a child outlived it."""

    code: int
    out: str
    err: str
    survivors: bool

    def faults(self, *codes: int, killed: bool = False) -> list[str]:
        """What is wrong, one line each.

        Args:
            codes: exit codes that are right.
            killed: we have sent SIGKILL; it may have come too late.
        """
        found = ["a process is left over"] if self.survivors else []
        said = self.out + self.err
        if "Traceback (most" in said:
            found.append(f"traceback: {said.strip().splitlines()[-1]}")
        elif self.code == -signal.SIGALRM:
            found.append("hang")
        elif self.code < 0 and not (killed and self.code == -signal.SIGKILL):
            found.append(f"died by {signal.Signals(-self.code).name}")
        elif self.code >= 0 and self.code not in codes:
            found.append(f"exit code {self.code}: {said[-300:]!r}")
        if place := _PLACE_IN_THE_CODE.search(said):
            found.append(f"names a place in the code: {said[max(0, place.start() - 80) : place.end() + 80]!r}")
        if self.code == 2:
            *before, last = self.err.replace("\r", "\n").strip().split("\n")  # before: bars and notes
            if not last.startswith("sdcda: ") or any(line.startswith("sdcda: ") for line in before):
                found.append(f"the refusal is not one line: {self.err[-300:]!r}")
        return found


class Process:
    """`work()` in a fork with `folder` as its working directory; SystemExit gives its exit code."""

    def __init__(self, work: Callable[[], Any], folder: Path, limit: int = LIMIT) -> None:
        self._streams: list[IO[bytes]] = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 (closed by `end`)
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _live(work, folder, self._streams, limit)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> Ended:
        """Wait for its end, and end whatever it has left over."""
        _, status = os.waitpid(self.pid, 0)
        until, survivors = time.monotonic() + GRACE, True
        while survivors and time.monotonic() < until:
            try:
                os.killpg(self.pid, 0)
                time.sleep(0.02)
            except ProcessLookupError:
                survivors = False
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        texts = []
        for stream in self._streams:
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "backslashreplace"))
            stream.close()
        return Ended(os.waitstatus_to_exitcode(status), *texts, survivors)


def _live(work: Callable[[], Any], folder: Path, streams: list[IO[bytes]], limit: int) -> None:
    code = 0
    try:
        os.setsid()  # a group of its own, in which its children can be found
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, stream in enumerate(streams, start=1):
            os.dup2(stream.fileno(), number)
        sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # type: ignore[misc]  # noqa: SIM115
        sys.stderr = sys.__stderr__ = open(2, "w", closefd=False)  # type: ignore[misc]  # noqa: SIM115
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(limit)  # kills it wherever it is, in C too
        work()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def run(work: Callable[[], Any], folder: Path, limit: int = LIMIT) -> Ended:
    return Process(work, folder, limit).end()


# --- what is there ----------------------------------------------------------------------------------------------------
def contents(folder: Path) -> dict[str, Any]:
    """Path -> contents of every file below a folder, less what differs from one run to the next (dates, durations)."""
    return {str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _content(path: Path) -> Any:
    with suppress(Exception):  # a damaged file is compared as it is
        if path.suffix == ".safetensors":
            tensors, card = checkpoints.load(path)
            return json.dumps(_timeless(card)), {name: value.numpy().tobytes() for name, value in tensors.items()}
        if path.suffix in (".json", ".jsonl"):
            text = path.read_text("utf-8")
            return [_timeless(json.loads(one)) for one in ([text] if path.suffix == ".json" else text.splitlines())]
    return path.read_bytes()


def _timeless(value: Any) -> Any:
    if isinstance(value, list):
        return [_timeless(one) for one in value]
    if isinstance(value, dict):
        return {key: _timeless(one) for key, one in value.items() if key not in _OF_ITS_TIME}
    return value


def differences(now: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What is missing, what is there and should not be, and what is another than it should be."""
    found = []
    for name in sorted(now.keys() | wanted.keys()):
        if name not in now or name not in wanted or now[name] != wanted[name]:
            how = "is missing" if name not in now else "is left over" if name not in wanted else "is another"
            found.append(f"{name} {how}")
    return found
