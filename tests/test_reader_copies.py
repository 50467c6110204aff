"""`make lab` opens copies: what a reader typed is never lost, and a new version of a notebook is never withheld."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("reader_copies", ROOT / "tools/reader_copies.py")
assert spec is not None and spec.loader is not None
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


@pytest.fixture
def originals(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    (folder / "solutions").mkdir(parents=True)
    for name in ("00_start.ipynb", "01_maps.ipynb", "solutions/01_maps.ipynb"):
        (folder / name).write_text(f"{name}, version 1")
    (folder / ".hidden.ipynb").write_text("no notebook")
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.ipynb")}


def test_every_notebook_is_copied_once(originals: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert tool.refresh(originals, work) == []
    copied = {name: text for name, text in contents(originals).items() if not name.startswith(".")}
    assert contents(work) == copied
    assert tool.refresh(originals, work) == [] and contents(work) == copied


def test_answers_stay_and_a_new_version_stands_beside_them(originals: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    tool.refresh(originals, work)
    (work / "01_maps.ipynb").write_text("my answers")
    assert tool.refresh(originals, work) == []
    for name in ("00_start.ipynb", "01_maps.ipynb"):
        (originals / name).write_text("version 2")
    assert tool.refresh(originals, work) == [
        "01_maps.ipynb has a new version: it is in 01_maps.new.ipynb, beside yours"
    ]
    now = contents(work)
    assert now["01_maps.ipynb"] == "my answers" and now["01_maps.new.ipynb"] == "version 2"
    assert now["00_start.ipynb"] == "version 2", "nobody had changed it"
    assert tool.refresh(originals, work) == [] and contents(work) == now

    (work / "01_maps.new.ipynb").write_text("answers in the new one, too")
    (originals / "01_maps.ipynb").write_text("version 3")
    assert "01_maps.new2.ipynb" in tool.refresh(originals, work)[0]
    kept = {"01_maps.ipynb": "my answers", "01_maps.new.ipynb": "answers in the new one, too"}
    assert contents(work) == now | kept | {"01_maps.new2.ipynb": "version 3"}


@pytest.mark.parametrize("damage", ["", "[1]", "{", None])
def test_without_its_record_every_copy_counts_as_the_readers(
    damage: str | None, originals: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    tool.refresh(originals, work)
    (work / "01_maps.ipynb").write_text("my answers")
    (work / tool.RECORD).unlink() if damage is None else (work / tool.RECORD).write_text(damage)
    assert len(tool.refresh(originals, work)) == 1
    assert contents(work)["01_maps.ipynb"] == "my answers"
    assert tool.refresh(originals, work) == []


def test_a_removed_copy_comes_back(originals: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    tool.refresh(originals, work)
    (work / "01_maps.ipynb").unlink()
    tool.refresh(originals, work)
    assert contents(work)["01_maps.ipynb"].endswith("version 1")
