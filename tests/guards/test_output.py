"""Standard streams that nobody reads, that are full, or that are closed: the work goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def script(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_is_read_arrives_in_order_and_whole(unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    process = script(
        "import sys; from sdcda_tutorial.guards.output import protect\n"
        "print('first'); protect('stdout'), protect('stderr')\n"
        "for number in range(20_000): print(number, 'λ \\udce9')\n"
        "print('last', file=sys.stderr)"
    )
    out, err = process.communicate()
    assert out.decode("ascii").splitlines() == ["first", *(rf"{n} \u03bb \udce9" for n in range(20_000))]
    assert (process.returncode, err) == (0, b"last\n".replace(b"\n", os.linesep.encode()))


def test_what_nobody_reads_is_dropped() -> None:
    process = script(
        "import sys; from sdcda_tutorial.guards.output import protect; protect('stdout')\n"
        "for number in range(20_000): print(number, flush=number % 100 == 0)\n"
        "print('all is done', file=sys.stderr)"
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert process.communicate()[1].split() == [b"all", b"is", b"done"] and process.returncode == 0


@pytest.mark.slow
def test_processes_of_ours_outlive_their_reader_too() -> None:
    """As those of a benchmark of several seeds at a time, which print what they train."""
    process = script(
        "from functools import partial; from sdcda_tutorial.training.processes import call_in_processes\n"
        "call_in_processes(partial(print, 'x' * 100_000, flush=True), [(), ()], [{}, {}])"
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    told = process.communicate()[1]
    assert (process.returncode, told) == (0, b"")
