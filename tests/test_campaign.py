"""The judge of the campaign (tests/campaign) sees each kind of violation, and nothing where all is well."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

if sys.platform == "win32":
    pytest.skip("forks and pipes are POSIX", allow_module_level=True)

from campaign import commands, inputs, judge

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import write_text


def refuse(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr)
    sys.exit(2)


WRONG: dict[str, Callable[[], Any]] = {
    "traceback: ZeroDivisionError": lambda: 1 / 0,
    "hang": lambda: time.sleep(60),
    "died by SIGUSR1": lambda: os.kill(os.getpid(), signal.SIGUSR1),
    "died by SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit code 3": lambda: sys.exit(3),
    "exit code 1": lambda: sys.exit("in words"),
    "the refusal is not one line": lambda: refuse("sdcda: two lines,", "of which this is one"),
    "the refusal is not one line: ''": lambda: sys.exit(2),
    "the refusal is not one line: 'sdcda": lambda: refuse("sdcda: once", "sdcda: twice"),
    "a process is left over": lambda: subprocess.Popen(["sleep", "60"]),
    "names a place in the code": lambda: print("/lib/numpy/core.py:12: FutureWarning: soon no more"),
}
RIGHT: dict[str, Callable[[], Any]] = {
    "done": lambda: print("done"),
    "refused": lambda: refuse("step 1\rstep 2", "sdcda: the file is broken; fetch it again"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_violation_is_seen(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "GRACE", 0.2)
    found = judge.run(WRONG[fault], tmp_path, limit=1).faults(0, 2)
    assert len(found) == 1 and found[0].startswith(fault), found


@pytest.mark.parametrize("end", RIGHT)
def test_a_right_end_is_no_violation(end: str, tmp_path: Path) -> None:
    assert judge.run(RIGHT[end], tmp_path).faults(0, 2) == []


def test_dates_make_no_difference_and_all_else_does(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"date": "2026-11-29", "mae": 1}')
    before = judge.contents(tmp_path)
    (tmp_path / "a.json").write_text('{"date": "2026-11-30", "mae": 1}')
    assert judge.differences(judge.contents(tmp_path), before) == []
    (tmp_path / "a.json").write_text('{"date": "2026-11-30", "mae": 2}')
    (tmp_path / ".tmp-1.png").touch()
    assert judge.differences(judge.contents(tmp_path), before | {"b": b""}) == [
        ".tmp-1.png is left over", "a.json is another", "b is missing"
    ]  # fmt: skip


# --- parts, with a program that is sound or not -----------------------------------------------------------------------
@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[commands.Lab]:
    """A lab of one file, and commands that write FOLDER/a and FOLDER/b: "write FOLDER TEXT HOW"."""
    lab = commands.Lab(tmp_path)
    (lab.finished / "runs/mini/se+fd").mkdir(parents=True)
    (lab.finished / "runs/mini/se+fd/x").write_text("sound")
    monkeypatch.setattr(commands, "main", program)
    monkeypatch.setattr(commands, "TRAINED", ("runs",))
    monkeypatch.setattr(commands, "EVALUATE", "read")
    monkeypatch.setattr(commands, "PREDICT", "read")
    yield lab


def program(arguments: list[str]) -> None:
    if "write" in arguments:
        _, text, how = arguments
        for name in "ab":
            if how == "sound":
                write_text(name, text)
            elif not Path(name).exists():  # and believes that what is there is whole
                with open(name, "w") as file:
                    file.write("h")
                    file.flush()
                    time.sleep(0.6)
                    file.write(text)
    elif not Path("runs/mini/se+fd/x").is_file():
        refuse("sdcda: x is missing")
    else:
        Path("read").write_text(Path("runs/mini/se+fd/x").read_text(errors="replace"))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["sound", "in place"])
def test_a_killed_writer_that_leaves_a_part_is_seen(
    how: str, lab: commands.Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "WRITERS", [((), f"write text '{how}'", "")])
    (tried,) = commands.kills(0, random.Random(1), lab)
    assert [fault for fault in tried.faults if "another" in fault] == ([] if how == "sound" else ["a is another"])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["sound", "in place"])
def test_a_mixture_of_two_results_is_seen(how: str, lab: commands.Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PAIRS", [((), f"write one '{how}'", f"write other '{how}'")])
    monkeypatch.setattr(random.Random, "choice", lambda self, _: 0.2)  # within the first of two files
    (tried,) = commands.pairs(0, random.Random(0), lab)
    assert bool(tried.faults) == (how != "sound")


@pytest.mark.slow
def test_a_damaged_run_that_is_used_is_seen(lab: commands.Lab) -> None:
    tried = [one for number in (0, 1, 3, 4, 6, 7) for one in commands.damaged(number, random.Random(number), lab)]
    assert any(one.refused and not one.faults for one in tried), tried
    assert {fault for one in tried for fault in one.faults} == {"read is another"}


@pytest.mark.slow
@pytest.mark.alone
def test_one_try_of_each_part_is_sound() -> None:
    script = Path(__file__).parent / "campaign" / "run.py"
    once = ["--kills", "1", "--bad-input", "1", "--mutations", "1", "--pairs", "1", "--damaged", "1"]
    ended = subprocess.run([sys.executable, script, *once], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    tried = {line.split()[0]: int(line.split()[1]) for line in ended.stdout.strip().splitlines()[1:]}
    assert tried.keys() == {"kills", "bad_input", "mutations", "pairs", "damaged"} and min(tried.values()) > 0


def read_carelessly(path: Path) -> bytes:
    data = path.read_bytes()
    if len(data) > 1000:
        os.kill(os.getpid(), signal.SIGKILL)
    if data[500:501] != b"x":
        raise InputError("not\nx")
    return data


@pytest.mark.slow
def test_what_a_mutation_does_is_seen(lab: commands.Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab.finished / "file").write_bytes(b"x" * 1000)
    monkeypatch.setattr(inputs, "KINDS", {"file": ("file", read_carelessly, "all")})
    tried = inputs.mutations(0, random.Random(0), lab)
    assert len(tried) == inputs.BATCH
    found = {fault for one in tried for fault in one.faults}
    assert found == {"silently read as something else", "died by SIGKILL", "a message of 2 lines: not\nx"}


def test_every_command_and_option_gets_bad_values() -> None:
    calls = inputs.bad_calls()
    assert {call.what.split(",")[0] for call in calls if not call.path} == set(inputs.BASES) - {"doctor"}
    assert any(call.arguments[-1] == "--lambda-s=nan" for call in calls)
    assert len(calls) > 1500
