"""Calls side by side: at most so many at once, each in a process, and an end to all of them when one fails."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.experiments.benchmark import _gpus, run_seeds_in_parallel

pytestmark = pytest.mark.alone


def note(call: tuple[Path, str, float]) -> None:
    folder, name, seconds = call
    (folder / f"{name}.begun").write_text(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']} {time.time()}")
    time.sleep(seconds)
    (folder / f"{name}.done").write_text(str(time.time()))


def fail(call: tuple[Path, str, float]) -> None:
    _, name, _ = call
    if name == "bad":
        raise InputError("this one is bad")
    if name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    note(call)


def begun(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.begun") if path.read_text().count(" ") == 2}


def test_each_is_done_once_in_a_process_of_its_own_and_never_more_at_a_time(tmp_path: Path) -> None:
    threads = os.environ.get("OMP_NUM_THREADS")
    run_seeds_in_parallel(2, note, [(tmp_path, str(n), 0.5) for n in range(5)])
    written = [(tmp_path / f"{n}.begun").read_text().split() for n in range(5)]
    assert len({process for process, _, _ in written} | {str(os.getpid())}) == 6
    spans = [(float(w[2]), float((tmp_path / f"{n}.done").read_text())) for n, w in enumerate(written)]
    assert max(sum(start <= one < end for start, end in spans) for one, _ in spans) <= 2
    assert all(int(number) >= 1 for _, number, _ in written) and os.environ.get("OMP_NUM_THREADS") == threads


@pytest.mark.parametrize(("name", "error"), [("bad", InputError), ("killed", TrainingStopped)])
def test_one_that_fails_ends_the_others_and_none_begins_any_more(
    tmp_path: Path, name: str, error: type[Exception]
) -> None:
    work = [(tmp_path, "slow", 600.0), (tmp_path, name, 0.0), (tmp_path, "later", 0.0), (tmp_path, "last", 0.0)]
    start = time.monotonic()
    with pytest.raises(error, match="this one is bad" if name == "bad" else "was there memory enough"):
        run_seeds_in_parallel(2, fail, work)
    assert time.monotonic() - start < 60
    assert begun(tmp_path) <= {"slow"} and not list(tmp_path.glob("*.done"))
    assert not multiprocessing.active_children()


def test_when_their_parent_dies_they_do_not_live_on(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; import sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_parallel_seeds import note\n"
        "from sdcda_tutorial.experiments.benchmark import run_seeds_in_parallel\n"
        "calls = [(Path(sys.argv[1]), str(n), 600.0) for n in range(2)]\n"
        "if __name__ == '__main__': run_seeds_in_parallel(2, note, calls)\n"
    )
    (tmp_path / "program.py").write_text(program)
    parent = subprocess.Popen([sys.executable, tmp_path / "program.py", tmp_path, Path(__file__).parent])
    end = time.monotonic() + 90
    while len(begun(tmp_path)) < 2:
        assert time.monotonic() < end and parent.poll() is None
        time.sleep(0.1)
    numbers = [int((tmp_path / f"{n}.begun").read_text().split()[0]) for n in range(2)]
    parent.kill()
    parent.wait()
    while not all(ended(number) for number in numbers):
        assert time.monotonic() < end
        time.sleep(0.1)


def ended(number: int) -> bool:
    """Whether the process is gone, or dead and not yet collected by whoever has inherited it."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True).stdout.strip()
    return not listed or listed.startswith("Z")


def test_gpus_are_named_as_the_user_has_named_them() -> None:
    assert _gpus(3, None) == ["0", "1", "2"] and _gpus(0, None) == [] and _gpus(0, "") == []
    assert _gpus(2, "5,7") == ["5", "7"] and _gpus(1, "GPU-abc,GPU-def") == ["GPU-abc"]
