"""One writer for each folder: others are refused or wait, and what a killed one left is removed, nothing else."""

from __future__ import annotations

import errno
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from command_line import appear
from hypothesis import given
from hypothesis import strategies as st

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import atomic_path, write_text
from sdcda_tutorial.guards.locks import one_writer, remove_leftovers, write_cache

pytestmark = pytest.mark.alone

posix = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")


def hold(folder: Path, began: Path, seconds: float) -> None:
    with one_writer(folder):
        began.touch()
        time.sleep(seconds)


def write_half_and_die(path: Path) -> None:
    with one_writer(path.parent), atomic_path(path) as temporary:
        temporary.write_text("ha")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def held(tmp_path: Path, start: Callable[..., Any]) -> Callable[..., Any]:
    """`held(folder, seconds)` lets another process hold a folder, and gives that process."""

    def begin(folder: Path, seconds: float = 60.0) -> Any:
        process = start(hold, folder, tmp_path / "began", seconds)
        appear(tmp_path / "began")
        return process

    return begin


# --- who may write ----------------------------------------------------------------------------------------------------
def test_a_second_process_is_refused_in_one_line(tmp_path: Path, held: Callable[..., Any]) -> None:
    folder = tmp_path / "run"
    process = held(folder)
    began = time.monotonic()
    expected = r"^another process is writing to \S+run; wait for it, or choose"
    with pytest.raises(InputError, match=expected) as caught, one_writer(folder):
        pytest.fail("two at once")
    assert "\n" not in str(caught.value) and time.monotonic() - began < 10
    assert process.is_alive()


def test_who_waits_says_so_and_comes_next(
    tmp_path: Path, held: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    process = held(tmp_path / "run", 2.0)
    with one_writer(tmp_path / "run", wait=math.inf) as alone:
        assert alone
        process.join(5)
        assert process.exitcode == 0
    assert capsys.readouterr().err == f"another process is writing to {tmp_path / 'run'}; waiting for it\n"


@posix
def test_the_lock_of_a_killed_process_is_gone_with_it(tmp_path: Path, held: Callable[..., Any]) -> None:
    process = held(tmp_path / "run")
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with one_writer(tmp_path / "run", wait=0) as alone:
        assert alone
    assert list((tmp_path / "run").iterdir()) == []  # not even the lock's own file


def test_the_holder_may_ask_again_and_other_threads_may_not(tmp_path: Path) -> None:
    def ask() -> bool:
        with one_writer(tmp_path, wait=0):
            return True

    with ThreadPoolExecutor(1) as pool:
        with one_writer(tmp_path), one_writer(tmp_path / "part"):
            assert ask()
            with pytest.raises(InputError, match="another process is writing"):
                pool.submit(ask).result()
        assert pool.submit(ask).result()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_made_for_nothing_goes_and_an_older_one_stays(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("old", "new", "used"):
        with one_writer(tmp_path / name), one_writer(tmp_path / name):
            if name == "used":
                (tmp_path / "used/file").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "used"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_gives_the_folder_back(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), one_writer(tmp_path):
        raise error
    with one_writer(tmp_path, wait=0) as alone:
        assert alone
    assert list(tmp_path.iterdir()) == []


def test_who_loses_the_folder_says_so(tmp_path: Path) -> None:
    """Removed, or removed and begun anew by another process: what lies there is not this one's."""
    for anew in (False, True):
        folder = tmp_path / f"{anew}"
        with pytest.raises(InputError, match="was removed or replaced while this wrote to it"), one_writer(folder):
            shutil.rmtree(folder)
            if anew:
                folder.mkdir()
                (folder / ".sdcda-lock").touch()
        assert [path.name for path in folder.glob("*")] == [".sdcda-lock"] * anew  # another's stays


def test_where_no_folder_can_be_the_first_file_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot write"), one_writer(tmp_path / "file") as alone:
        assert not alone
        write_text(tmp_path / "file/below.txt", "new")
    assert capsys.readouterr().err == "" and (tmp_path / "file").read_text() == "mine"


@posix
def test_a_file_system_without_locks_is_said_and_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    (tmp_path / f".tmp-{'0' * 16}.json").touch()
    monkeypatch.setattr("fcntl.flock", none)
    with one_writer(tmp_path) as alone:
        assert not alone
    assert capsys.readouterr().err == (
        f"{tmp_path} cannot be locked (No locks available): let no other process write to it\n"
    )
    assert (tmp_path / f".tmp-{'0' * 16}.json").exists()  # it may be another's


# --- what a killed writer left ----------------------------------------------------------------------------------------
OURS = [f".tmp-{'0a' * 8}", f".tmp-{'0a' * 8}.json"]
MINE = [
    ".last.1b2c3d4e.safetensors", ".IMG_1.00000a00.png",  # as earlier versions called them, and others may
    ".gitkeep", ".DS_Store", ".lock", ".sdcda-lock", ".tmp", ".tmpbackup", ".tmp-notes.txt",
    f".tmp-{'0a' * 8}.tar.gz", f".tmp-{'0a' * 7}.json",
    f"tmp-{'0a' * 8}.json", ".notes.20261129.txt", ".model.1b2c3d4e.bak", ".last.1B2C3D4E.safetensors",
    "a.1b2c3d4e.png", "last.safetensors", ".hidden.json", ".tmp-" + "z" * 16,
]  # fmt: skip


def test_what_was_left_half_written_goes_and_nothing_else(tmp_path: Path) -> None:
    for name in [*OURS, *MINE]:
        (tmp_path / name).write_text(name)
    (tmp_path / f".tmp-{'1a' * 8}.json").mkdir()
    (tmp_path / f".tmp-{'2a' * 8}.json").symlink_to(tmp_path / "last.safetensors")
    before = {path.name for path in tmp_path.iterdir()}
    remove_leftovers(tmp_path)
    assert before - {path.name for path in tmp_path.iterdir()} == set(OURS)
    assert all((tmp_path / name).read_text() == name for name in MINE)
    remove_leftovers(tmp_path / "nowhere")


@given(st.text("abc019.-_ λ", min_size=1, max_size=24).filter(lambda name: name not in (".", "..")))
def test_no_file_without_our_marker_goes(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("own")
    (folder / f".{name}").touch()
    remove_leftovers(folder)
    assert (folder / f".{name}").exists()


@posix
@pytest.mark.parametrize("name", ["results.json", "last.safetensors", "without", "a" * 200 + ".png"])
def test_a_killed_writers_file_goes_when_its_folder_is_opened(
    tmp_path: Path, start: Callable[..., Any], name: str
) -> None:
    process = start(write_half_and_die, tmp_path / "run" / name)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL and len(list((tmp_path / "run").iterdir())) == 2  # its lock's file too
    with one_writer(tmp_path / "run"):
        pass
    assert list((tmp_path / "run").iterdir()) == []


def test_a_living_writers_file_stays(tmp_path: Path, held: Callable[..., Any]) -> None:
    half = tmp_path / "run" / f".tmp-{'0a' * 8}.json"
    held(half.parent)
    half.touch()
    with pytest.raises(InputError), one_writer(half.parent, also=[half.parent]):
        pass
    with one_writer(tmp_path, also=[tmp_path / "elsewhere"]):  # a folder above is another's business
        pass
    assert half.exists()


def test_a_cache_is_written_and_cleared(tmp_path: Path) -> None:
    (tmp_path / f".tmp-{'0a' * 8}.json").touch()
    write_cache(tmp_path / "index.json", {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["index.json"]
