"""Processes: started together, ended together, one result, one error; whoever starts them.

No torch in this file: processes begun here are there in half a second.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.training import processes
from sdcda_tutorial.training.processes import in_processes, is_first, number_started, read_ahead, shared_out, started

pytestmark = pytest.mark.alone

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """No test of timing: what hangs for ten minutes shall fail before."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def rank() -> int:
    return int(os.environ["LOCAL_RANK"])


def note(folder: Path) -> int:
    """Leave this process's number in the folder and give its rank."""
    (folder / str(rank())).write_text(str(os.getpid()))
    while len(list(folder.iterdir())) < int(os.environ["WORLD_SIZE"]):
        time.sleep(0.01)
    return rank()


def gone(folder: Path, number: int) -> bool:
    """Whether all processes that left a note have ended, or do so within a few seconds."""
    pids = [int(path.read_text()) for path in folder.iterdir()]
    assert len(pids) == number
    for _ in range(1000):
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that has ended may wait for somebody to take note of it.
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


# --- what the processes do --------------------------------------------------------------------------------------------
def add(folder: Path, *, to: int) -> tuple[int, int, bool, bool]:
    return to + note(folder), os.getpid(), started(), is_first()


def test_all_call_the_function_and_the_first_ones_result_comes_back(tmp_path: Path) -> None:
    result, pid, was_started, first = in_processes(3, 1, add, tmp_path, to=10)
    assert result == 10 and was_started and first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]
    assert (tmp_path / "0").read_text() == str(pid) != str(os.getpid())
    assert "LOCAL_RANK" not in os.environ and not started()


def test_one_process_is_a_plain_call_and_so_is_a_call_within_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_processes(1, 1, os.getpid) == os.getpid()
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert in_processes(2, 1, os.getpid) == os.getpid()
    assert started() and number_started() == 2 and not is_first()


# --- errors -----------------------------------------------------------------------------------------------------------
def fail(folder: Path, how: dict[int, str]) -> None:
    """Fail as `how` says for this rank; else do nothing for ever."""
    me = note(folder)
    if me not in how:
        time.sleep(600)
    if how[me] == "late":
        time.sleep(0.3)
    if how[me] == "unforeseen":
        raise ZeroDivisionError("a bug")
    if how[me] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how[me] == "stopped":
        raise TrainingStopped("not finite")
    if how[me] == "disk":
        raise OSError(28, "No space left on device", "file")
    raise InputError(f"broken in {me}")


@pytest.mark.parametrize(
    ("how", "expected", "message"),
    [
        ({1: "input"}, InputError, r"^broken in 1$"),
        ({0: "input"}, InputError, r"^broken in 0$"),
        ({0: "input", 1: "input", 2: "input"}, InputError, r"^broken in \d$"),
        ({2: "stopped"}, TrainingStopped, r"^not finite$"),
        ({1: "disk"}, OSError, r"^\[Errno 28\] No space left on device: 'file'$"),
        ({1: "unforeseen"}, RuntimeError, r"(?s)^process 1 failed\nTraceback.*ZeroDivisionError: a bug"),
        pytest.param({2: "killed"}, TrainingStopped, "^process 2 ended with signal 9, and", marks=posix),
    ],
)
def test_one_that_fails_ends_all_and_its_error_is_raised(
    how: dict[int, str], expected: type[Exception], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with at_most(60), pytest.raises(expected, match=message):
        in_processes(3, 1, fail, tmp_path, how)
    assert gone(tmp_path, 3)
    assert capfd.readouterr() == ("", "")  # who calls says it, once


def test_the_error_to_be_read_comes_before_those_that_follow_from_it(tmp_path: Path) -> None:
    (tmp_path / "outcomes").mkdir()
    for name, error in {"0": RuntimeError("connection lost"), "2": InputError("first"), "1": InputError("2nd")}.items():
        path = tmp_path / "outcomes" / name
        path.write_bytes(pickle.dumps(error))
        os.utime(path, ns=(0, {"0": 10, "2": 20, "1": 30}[name]))
    with pytest.raises(InputError, match="first"):
        processes.outcome_of(tmp_path / "outcomes", "process 0 ended with exit code 1")


# --- the end from outside ---------------------------------------------------------------------------------------------
def sleep(folder: Path) -> None:
    """Hold a file half written and wait."""
    try:
        (folder.parent / f"half-{note(folder)}").touch()
        time.sleep(600)
    finally:
        (folder.parent / f"half-{rank()}").unlink()


SCRIPT = """
    import signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from sdcda_tutorial.guards.endings import in_order
    from test_processes import in_processes, sleep
    if __name__ == "__main__":
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell makes what it runs in the background deaf
        try:
            with in_order():
                in_processes(2, 1, sleep, Path({folder!r}))
        except KeyboardInterrupt:
            print("interrupted")
            sys.exit(130)
"""


@posix
@pytest.mark.parametrize(
    ("how", "to_all", "code"),
    [
        (signal.SIGINT, True, 130),  # as a terminal does it at Ctrl-C
        (signal.SIGTERM, False, 143),
        (getattr(signal, "SIGHUP", None), True, 129),
        (getattr(signal, "SIGKILL", None), False, -9),
    ],
)
def test_who_ends_the_command_ends_all_its_processes(how: int, to_all: bool, code: int, tmp_path: Path) -> None:
    folder, script, room = tmp_path / "notes", tmp_path / "script.py", tmp_path / "tmp"
    folder.mkdir()
    room.mkdir()
    script.write_text(textwrap.dedent(SCRIPT.format(tests=str(Path(__file__).parent), folder=str(folder))))
    # A session of its own, so that a signal to the group does not reach pytest.
    command = subprocess.Popen(
        [sys.executable, str(script)], start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "TMPDIR": str(room)},
    )  # fmt: skip
    with at_most(60):
        while len(list(tmp_path.glob("half-*"))) < 2:
            assert command.poll() is None, command.communicate()
            time.sleep(0.02)
        (os.killpg if to_all else os.kill)(command.pid, how)
        out, err = command.communicate(timeout=60)
        assert gone(folder, 2)
    assert err == "" and command.returncode == code
    assert list(room.iterdir()) == []  # nor does what they tell each other stay
    if code > 0:
        assert out == ("interrupted\n" if how == signal.SIGINT else "")
        assert not list(tmp_path.glob("half-*"))  # they left in order


# --- several machines, and processes that others have started ---------------------------------------------------------
MACHINES = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "2222", "NODE_RANK": "1"}


@pytest.mark.parametrize("missing", MACHINES)
def test_several_machines_must_be_told_where_to_meet(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in MACHINES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(missing)
    with pytest.raises(InputError, match=f"2 machines need MASTER_ADDR, MASTER_PORT, NODE_RANK .*{missing} is missing"):
        in_processes(1, 2, os.getpid)


def environment(_: Path) -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in (*MACHINES, "WORLD_SIZE", "LOCAL_RANK")}


def test_the_processes_of_a_machine_know_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in MACHINES.items():
        monkeypatch.setenv(name, value)
    assert not is_first()  # the other machine's does the talking
    expected = {**MACHINES, "WORLD_SIZE": "4", "LOCAL_RANK": "0"}
    assert in_processes(2, 2, environment, tmp_path) == expected
    monkeypatch.setenv("NODE_RANK", "2")
    with pytest.raises(InputError, match="NODE_RANK is 0 to 1 on 2 machines, not '2'"):
        in_processes(2, 2, environment, tmp_path)


@pytest.mark.parametrize(
    ("names", "number", "first"),
    [
        ({}, None, True),
        ({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "8"}, 8, True),  # torchrun
        ({"RANK": "4", "LOCAL_RANK": "0", "WORLD_SIZE": "8"}, 8, False),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"}, 4, True),  # srun
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3"}, 4, False),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "interactive"}, None, True),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, None, True),  # a job's script, which starts processes by --devices
        ({"RANK": "1"}, None, True),  # what some clusters give a single process
        ({"NODE_RANK": "1"}, None, True),
        ({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, None, True),
        ({"NODE_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, None, False),  # of --nodes
    ],
)
def test_who_was_started_by_torchrun_or_srun_knows(
    names: dict[str, str], number: int | None, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert started() == (number is not None) and is_first() == first
    assert number is None or number_started() == number


# --- reading ahead ----------------------------------------------------------------------------------------------------
class Shelf(Sequence[str]):
    """Notes when which item is read; the one called "broken" cannot be."""

    def __init__(self, *names: str) -> None:
        self.names, self.reading, self.threads = names, list[str](), set[int]()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]
        self.threads.add(threading.get_ident())
        self.reading.append(self.names[index])
        if self.names[index] == "broken":
            raise InputError("broken cannot be read")
        return self.names[index]


def test_the_next_item_is_read_while_one_is_worked_on_and_no_more() -> None:
    shelf, most = Shelf(*"abcdef"), 5.0
    for done, item in enumerate(read_ahead(shelf, range(0, 6, 2))):
        assert item == "ace"[done]
        wanted = list("ace"[: done + 2])
        until = time.monotonic() + most
        while shelf.reading != wanted and time.monotonic() < until:  # without asking for it
            time.sleep(0.01)
        time.sleep(0.05)
        assert shelf.reading == wanted
    assert len(shelf.threads) == 1 and threading.get_ident() not in shelf.threads


def test_what_cannot_be_read_is_told_in_its_turn_and_nothing_is_read_after_it() -> None:
    shelf, done = Shelf("a", "b", "broken", "d"), []
    with pytest.raises(InputError, match="broken cannot be read"):
        shared_out(done.append, shelf, None)
    assert done == ["a", "b"] and shelf.reading == ["a", "b", "broken"]


def test_an_error_or_ctrl_c_in_the_work_ends_the_reading() -> None:
    for error in (ValueError, KeyboardInterrupt):
        shelf = Shelf(*"abcdef")

        def work(item: str, error: type[BaseException] = error) -> None:
            if item == "b":
                raise error

        with pytest.raises(error):
            shared_out(work, shelf, None)
        assert not any(thread.name.startswith("read-ahead") for thread in threading.enumerate())
        assert shelf.reading[:2] == ["a", "b"] and len(shelf.reading) <= 3


def test_nothing_is_read_of_nothing() -> None:
    assert shared_out(str.upper, [], None) == []
    assert shared_out(str.upper, Shelf("a"), None) == ["A"]


@posix
def test_ctrl_c_while_an_item_is_read_is_an_interruption() -> None:
    code = """
        import signal, time
        from sdcda_tutorial.training.processes import shared_out
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell makes what it runs in the background deaf
        class Slow(list):
            def __getitem__(self, index):
                if index == 1:
                    print("reading", flush=True)
                    time.sleep(1)
                return index
        try:
            shared_out(lambda index: time.sleep(60 * index), Slow([0, 1, 2]), None)
        except KeyboardInterrupt:
            print("interrupted")
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert rest.split() == ["interrupted"] and process.returncode == 0
