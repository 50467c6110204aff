"""Files are there whole or not at all: through a kill, a full disk, an error in the middle."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_files import complaint

from sdcda_tutorial import files, masks
from sdcda_tutorial.datasets.formats.folder_listing import read_lines
from sdcda_tutorial.datasets.formats.matfiles import load_mat
from sdcda_tutorial.datasets.images import read_image
from sdcda_tutorial.datasets.own_data import make_dataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.experiments.cell_records import read_cells
from sdcda_tutorial.files import atomic_path, parse_json, put_in_place, read_json, read_object, write_json, write_text
from sdcda_tutorial.guards.provenance import claim
from sdcda_tutorial.networks import FeatureExtractor
from sdcda_tutorial.training.checkpoints import load_counter
from sdcda_tutorial.training.imagenet_weights import load_imagenet_weights
from sdcda_tutorial.training.saving import read_log

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals, umask and resource limits are POSIX")


def only(folder: Path) -> Path:
    """The one entry of a folder: nothing temporary lies beside it."""
    (entry,) = folder.iterdir()
    return entry


def test_the_new_text_replaces_the_old_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "text.json"
    write_text(path, "old")
    write_text(str(path), "λ = 0.01\n")
    assert only(path.parent).read_bytes() == "λ = 0.01\n".encode()
    write_json(path, {"λ": [1, None, 2.5]})
    assert read_json(path) == {"λ": [1, None, 2.5]}
    assert "λ" in path.read_text(encoding="utf-8")


def test_until_the_block_ends_a_reader_sees_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    write_text(path, "old")
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent  # a move within one file system
        assert temporary.suffix == ".txt"  # writers that go by the suffix
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("name", ["人群", "caf\udce9", "Zoë \udcff λ", "plain"])
def test_any_name_of_a_file_can_be_written_and_read_back(tmp_path: Path, name: str) -> None:
    write_json(tmp_path / "a.json", {"name": name})
    assert read_json(tmp_path / "a.json") == {"name": name}
    write_text(tmp_path / "a.txt", name)
    assert (tmp_path / "a.txt").read_text("utf-8") == name.encode("utf-8", "backslashreplace").decode()


def test_any_error_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    write_text(path, "old")
    for error in (RuntimeError("bug"), KeyboardInterrupt()):
        with pytest.raises(type(error)), atomic_path(path) as temporary:  # not dressed up as something else
            temporary.write_text("half")
            raise error
        assert only(tmp_path).read_text() == "old"
    with pytest.raises(TypeError):
        write_json(path, {"not JSON": object()})
    assert only(tmp_path).read_text() == "old"


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_disk_full_is_one_line_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "text.txt"
    write_text(path, "old")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, call, full)
    with pytest.raises(
        InputError, match=r"cannot write .*text\.txt: No space left on device; free some space"
    ) as caught:
        write_text(path, "new")
    assert "\n" not in str(caught.value)
    assert only(tmp_path).read_text() == "old"


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_text(tmp_path / "file" / "below.txt", "new")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        write_text(tmp_path / "folder", "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize(
    "name", ["x" * 251 + ".txt", "x" * 255, "𝔸" * 62 + ".json", "λ" * 127, "a." + "b" * 253, ".hidden" * 36]
)
def test_the_longest_names_can_be_written(tmp_path: Path, name: str) -> None:
    for text in ("old", "new"):
        write_text(tmp_path / name, text)
        assert only(tmp_path).read_text() == text and only(tmp_path).name == name
    with atomic_path(tmp_path / name) as temporary:
        assert temporary.name.startswith(".") and len(os.fsencode(temporary.name)) < 120


@pytest.mark.parametrize("path", ["x" * 300, "𝔸" * 64, "x" * 300 + "/text.txt", "a/b/" + "x" * 256])
def test_a_name_that_is_too_long_is_told_before_the_work(tmp_path: Path, path: str) -> None:
    long = max(len(part.encode()) for part in path.split("/"))
    with pytest.raises(InputError, match=rf"a name of {long} bytes is longer than this disk allows \(most allow 255\)"):
        files.refuse_long_names(tmp_path / path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"cannot write"), atomic_path(tmp_path / path):
        raise AssertionError("the work began")


def test_a_new_file_replaces_none(tmp_path: Path) -> None:
    path = tmp_path / "a" / "text.txt"
    with atomic_path(path, new=True) as temporary:
        temporary.write_text("first")
    with pytest.raises(FileExistsError), atomic_path(path, new=True) as temporary:
        temporary.write_text("second")
    assert only(path.parent).read_text() == "first"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"), atomic_path(tmp_path / "file" / "b", new=True):
        pass


def test_of_many_that_make_the_same_new_file_one_does(tmp_path: Path) -> None:
    path, together, made = tmp_path / "text.txt", threading.Barrier(8), []

    def make(number: int) -> None:
        with suppress(FileExistsError), atomic_path(path, new=True) as temporary:
            temporary.write_text(str(number))
            together.wait()
        if path.read_text() == str(number):
            made.append(number)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and only(tmp_path).read_text() == str(made[0])


def test_without_links_a_new_file_still_replaces_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(files.os, "link", no_links)  # as on FAT
    test_a_new_file_replaces_none(tmp_path)


@pytest.mark.parametrize("place", ["folder", "folder/new/deep", "new"])
def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    files.require_writable(tmp_path / place)
    assert only(tmp_path).name == "folder" and list((tmp_path / "folder").iterdir()) == []


@posix
@pytest.mark.parametrize("place", ["file", "file/below", "dangling", "x" * 300, "new/" + "x" * 300, "/proc/new"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, place: str) -> None:
    if place.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot write") as caught:
        files.require_writable(tmp_path / place)
    assert "\n" not in str(caught.value) and place in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "dangling"}


def test_only_a_file_of_the_same_kind_is_replaced(tmp_path: Path) -> None:
    for name, text in {"ours": "head: 1", "empty": "", "cut": "hea", "other": "letter"}.items():
        (tmp_path / name).write_text(text)
    for name in ("ours", "empty", "cut", "new", "folder/new"):
        files.refuse_other_file(tmp_path / name, "head: ")
    for name in ("other", "", os.devnull, "other/below"):
        with pytest.raises(InputError):
            files.refuse_other_file(tmp_path / name, "head: ")


@posix
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "text.txt", "new")
        assert os.umask(umask) == umask  # asking for the umask sets it: it must be set back
    finally:
        os.umask(before)
    assert (tmp_path / "text.txt").stat().st_mode & 0o777 == mode


def write_half_and_die(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("ha")
        os.kill(os.getpid(), signal.SIGKILL)


def write_with_little_space(path: Path, report: Path) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    try:
        write_text(path, "x" * 1_000_000)
    except InputError as error:
        report.write_text(str(error))


@pytest.mark.alone
@posix
def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path: Path, start: Callable[..., Any]) -> None:
    path = tmp_path / "text.txt"
    write_text(path, "old")
    process = start(write_half_and_die, path)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert path.read_text() == "old"
    write_text(path, "new")  # whatever the killed one left is in nobody's way
    assert path.read_text() == "new"


@posix
def test_no_space_for_the_whole_leaves_the_old_file(tmp_path: Path, start: Callable[..., Any]) -> None:
    path, report = tmp_path / "data" / "text.txt", tmp_path / "report"
    write_text(path, "old")
    process = start(write_with_little_space, path, report)
    process.join(60)
    assert process.exitcode == 0
    assert report.read_text().startswith(f"cannot write {path}: ")
    assert "\n" not in report.read_text()
    assert only(path.parent).read_text() == "old"


@pytest.mark.parametrize("content", [None, b"", b'{"half": ', b"\xff\xfe{}"])
def test_unreadable_json_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"config\.json") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


TWICE, DEEP, LONG = '{"a": 1, "b": {"c": 1, "c": 2}}', "[" * 100_000, f'{{"a": {"9" * 5000}}}'


@pytest.mark.parametrize(("content", "says"), [(TWICE, "'c' is there twice"), (DEEP, "brackets"), (LONG, "digits")])
def test_json_that_python_cannot_read_or_half_reads_is_one_line(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"config\.json is not readable JSON") as caught:
        read_json(path)
    assert says in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


LEAVES = st.none() | st.booleans() | st.floats() | st.integers() | st.text()


@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=9))
@settings(max_examples=30, deadline=None)
def test_whatever_python_writes_is_read_back(value: Any) -> None:
    assert repr(parse_json(json.dumps(value))) == repr(value)  # as text, for NaN is not itself


@pytest.mark.parametrize("content", ["[]", "3", "null", '"a"'])
def test_an_object_is_asked_for_where_one_is_needed(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json holds no JSON object"):
        read_object(tmp_path / "config.json")


def test_a_mark_that_an_editor_puts_in_front_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("\ufeff{}", encoding="utf-8")
    assert read_json(tmp_path / "config.json") == {}


# --- folders ----------------------------------------------------------------------------------------------------------
def folder_of(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "file").write_text(content)
    return path


def test_a_finished_folder_takes_its_place_and_nothing_of_the_users_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    put_in_place(folder_of(tmp_path / "made", "first"), root)
    with pytest.raises(OSError):
        put_in_place(folder_of(tmp_path / "made", "second"), root)
    assert (root / "file").read_text() == "first"
    put_in_place(tmp_path / "made", root, replace=True)
    assert (root / "file").read_text() == "second" and (tmp_path / "made.old/file").read_text() == "first"
    (tmp_path / "empty").mkdir()
    put_in_place(folder_of(tmp_path / "made", "third"), tmp_path / "empty")
    assert (tmp_path / "empty/file").read_text() == "third"

    made, move = folder_of(tmp_path / "more", "fourth"), os.replace
    monkeypatch.setattr(files.os, "replace", lambda a, b: move(a, b) if a != made else move(tmp_path / "nowhere", b))
    with pytest.raises(OSError):
        put_in_place(made, root, replace=True)
    assert (root / "file").read_text() == "second"  # put back


def test_a_claim_is_written_once_and_refuses_what_is_made_from_something_else(tmp_path: Path) -> None:
    def make(folder: str, **origin: Any) -> None:
        claim(tmp_path / folder, origin, "provenance.json", what="masks", foreign="*.png")

    make("masks", weights="abc", growth=2)
    provenance = tmp_path / "masks/provenance.json"
    written = provenance.stat().st_mtime_ns
    assert read_json(provenance).keys() == {"weights", "growth", "date"}
    (tmp_path / "masks/1.png").write_text("")
    make("masks", weights="abc", growth=2)
    assert provenance.stat().st_mtime_ns == written
    with pytest.raises(InputError, match=r"holds masks made with growth = 2, not 3; remove it"):
        make("masks", weights="abc", growth=3)
    folder_of(tmp_path / "mine", "")
    make("mine", weights="abc")  # no mask there
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/1.png").write_text("")
    with pytest.raises(InputError, match=r"something else than masks, or ones without a provenance\.json"):
        make("theirs", weights="abc")


# --- pipes ------------------------------------------------------------------------------------------------------------
READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "json": ("x.json", read_json),
    "digest of a file": ("x.jpg", files.file_digest),
    "digest of a folder": ("x.png", lambda path: files.folder_digest(path.parent)),
    "list": ("train.txt", lambda path: read_lines(path, "fix it")),
    "mat": ("x.mat", lambda path: load_mat(path, "annPoints")),
    "log": ("metrics.jsonl", read_log),
    "cells": ("cells.jsonl", read_cells),
    "points": ("x.csv", lambda path: make_dataset(path, path.parent, path.parent / "out")),
    "mask": ("x.png", masks.read_png),
    "photograph": ("x.jpg", read_image),
    "checkpoint": ("x.safetensors", load_counter),
    "weights": ("vgg16_bn.pth", lambda path: load_imagenet_weights(FeatureExtractor(), path)),
}


@posix
@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] * (k == "weights")) for k in READERS])
def test_nobody_waits_for_the_writer_of_a_pipe(kind: str, tmp_path: Path) -> None:
    name, read = READERS[kind]
    os.mkfifo(tmp_path / name)
    # Who opens it all the same gets an end of file from here, where it would wait for ever.
    writer = threading.Thread(target=lambda: open(tmp_path / name, "wb").close())
    writer.start()
    try:
        complaint(lambda: read(tmp_path / name))
        writer.join(0.05)
        assert writer.is_alive(), "somebody has opened the pipe"
    finally:
        os.close(os.open(tmp_path / name, os.O_RDONLY | os.O_NONBLOCK))
        writer.join()


def test_what_links_lead_to_is_in_the_digest_of_a_folder(tmp_path: Path) -> None:
    """Scenes are moved to another disk and linked; and links may lead in a circle."""
    plain, linked, disk = tmp_path / "plain", tmp_path / "linked", tmp_path / "disk"
    for folder in (plain / "scene", disk):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(b"mask")
    linked.mkdir()
    (linked / "scene").symlink_to(disk)
    (disk / "back").symlink_to(linked)
    assert files.folder_digest(linked) == files.folder_digest(plain)
    (disk / "a.png").write_bytes(b"another")
    assert files.folder_digest(linked) != files.folder_digest(plain)
