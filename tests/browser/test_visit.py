"""A reader's visit: clone, `make lab`, two answers, a training; then `git pull`, and everything typed is still there.

All of it by the commands of the README and in a browser. Only the environment is not made: it is that of the tests.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import nbformat
import pytest
from labs import Lab, opened, serving, settings_of
from moving import Opened
from playwright.sync_api import BrowserContext, Locator

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 90  # the most that a cell may take on a busy machine
MINI = Path("data", "mini")
NEW = "This sentence is new."
UPDATED = ("01_density_maps", "06_masked_target_loss", "08_adversarial_training")

# What the reader puts in the place of a line, by what the line begins with.
WIDTH = ("raise NotImplementedError", "return 2 * int(sigma * np.sqrt(-2 * np.log(share))) + 1")
MEANS = ("all_pixels, background_pixels", "all_pixels, background_pixels, per_image = 1, 1, 4")
SHORT = ("run = lab.run(again=True)", "run = lab.run(again=True, steps=2)")


def git(*command: str, cwd: Path) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(["git", *who, *command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"git {' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A repository that holds the last commit of this one, on its branch main."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git, and a clone to clone from")
    git("clone", "--quiet", str(ROOT), "origin", cwd=tmp_path)
    git("checkout", "--quiet", "-B", "main", cwd=tmp_path / "origin")  # in CI no branch is checked out
    return tmp_path / "origin"


@pytest.fixture
def clone(origin: Path, chromium: BrowserContext) -> Path:
    """The reader's clone, with the mini world made. The environment in .venv is a wrapper around that of the tests."""
    from sdcda_tutorial.mini_world import ensure_mini_world

    place = origin.parent / "clone"
    git("clone", "--quiet", str(origin), str(place), cwd=origin.parent)
    shutil.copytree(ensure_mini_world(ROOT / MINI), place / MINI)
    python = place / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{place}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    for stamp in ("run", "lab"):
        (place / ".venv" / f".stamp-{stamp}").touch()
    return place


class Reader:
    """Somebody at the keyboard, with a notebook open."""

    def __init__(self, notebook: Opened) -> None:
        self.notebook, self.keyboard, self.runs = notebook, notebook.page.keyboard, 0

    def cell(self, code: str) -> Locator:
        """The first code cell with this line."""
        page = self.notebook.page
        return page.locator(".jp-CodeCell").filter(has=page.locator(".cm-content", has_text=code)).first

    def replace(self, old: str, new: str) -> None:
        """Click on a line, select it and type another."""
        self.notebook.page.locator(".jp-CodeCell .cm-line", has_text=old).first.click()
        self.keyboard.press("Home")
        self.keyboard.press("Shift+End")
        self.keyboard.type(new)

    def run(self, code: str) -> str:
        """Run the cell with this line; what it printed."""
        cell, self.runs = self.cell(code), self.runs + 1
        prompt = cell.locator(".jp-InputPrompt")
        cell.locator(".cm-line").last.click()
        self.keyboard.press("Control+Enter")
        done = f"[{self.runs}]:"
        self.wait(lambda: prompt.inner_text() == done and self.notebook.idle(), f"still running: {code}")
        return str(cell.locator(".jp-OutputArea").inner_text())

    def wait(self, condition: Callable[[], bool], problem: str) -> None:
        page, end = self.notebook.page, time.monotonic() + SECONDS
        while not condition():
            page.wait_for_timeout(100)
            if page.locator(".jp-Dialog").count():
                page.locator(".jp-Notebook").hover()  # an action, which lets the handler of `opened` answer
            assert time.monotonic() < end, problem

    def save_and_close(self, path: Path, *typed: str) -> None:
        self.keyboard.press("Control+s")
        self.wait(lambda: all(text in path.read_text(encoding="utf-8") for text in typed), f"{path.name} is not saved")
        self.notebook.page.close()


def make_lab(clone: Path, folder: Path) -> AbstractContextManager[Lab]:
    """`make lab` on a machine without a display, as a context."""
    folder.mkdir()
    environment = settings_of(folder)
    # A make that runs these tests hands its own variables down, VENV=… above all.
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VENV", "PYTHON"):
        environment.pop(name, None)
    return serving(["make", "lab"], environment, clone, folder / "make.log")


def answer(lab: Lab, chromium: BrowserContext, clone: Path) -> None:
    """Answer 1.1 and 6.2, and train for two steps in 08; each notebook is saved and closed."""
    for number, (name, first, line) in enumerate([
        ("01_density_maps", "import numpy as np", WIDTH),
        ("06_masked_target_loss", "import numpy as np", MEANS),
        ("08_adversarial_training", "import matplotlib", SHORT),
    ]):  # fmt: skip
        path = f"work/{name}.ipynb"
        reader = Reader(opened(chromium, lab, path))
        reader.run("notebook.begin()")
        reader.run(first)
        if name.startswith("08"):
            reader.run("lab = laboratory.Laboratory()")
        reader.replace(*line)
        said = reader.run(line[1])
        assert ("✔ 1.1", "✔ 6.2", "steps = 2")[number] in said, said
        assert reader.notebook.wrong() == []
        reader.save_and_close(clone / path, line[1])


def publish(origin: Path) -> None:
    """A new version: a sentence more in three notebooks and their texts."""
    for name in UPDATED:
        path = origin / "notebooks" / f"{name}.ipynb"
        book = nbformat.read(path, as_version=4)
        book.cells[0].source += f"\n\n{NEW}"
        nbformat.write(book, path)
        text = origin / "notebooks" / "text" / f"{name}.py"
        text.write_text(text.read_text(encoding="utf-8") + f"#\n# {NEW}\n", encoding="utf-8")
    git("commit", "--quiet", "--all", "--message", "A new version", cwd=origin)


def kept(clone: Path) -> dict[str, bytes]:
    """The reader's files: notebooks, answers, trainings."""
    files = [*(clone / "work").glob("*.ipynb"), *(clone / "runs").rglob("*")]
    mine = [path for path in files if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(clone).as_posix(): path.read_bytes() for path in mine}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere `make lab` opens a browser of its own")
def test_a_visit_and_a_pull(clone: Path, origin: Path, chromium: BrowserContext, tmp_path: Path) -> None:
    with make_lab(clone, tmp_path / "first") as lab:
        answer(lab, chromium, clone)
    assert git("status", "--porcelain", cwd=clone) == ""
    before = kept(clone)
    assert any(re.match(r"runs/laboratory/.*\.json", name) for name in before)

    publish(origin)
    git("pull", "--quiet", cwd=clone)
    assert kept(clone) == before and git("status", "--porcelain", cwd=clone) == ""

    with make_lab(clone, tmp_path / "second") as lab:
        for name in UPDATED:
            assert f"{name}.ipynb has a new version: it is in {name}.new.ipynb, beside yours" in lab.log.read_text()
        page = opened(chromium, lab, "work/06_masked_target_loss.new.ipynb").page
        page.locator(".jp-RenderedMarkdown", has_text=NEW).first.wait_for()
        page.locator(".cm-line", has_text="per_image = ..., ..., ...").wait_for(state="attached")
        page.close()
    now = kept(clone)
    assert {name: now[name] for name in before} == before
    assert sorted(now.keys() - before.keys()) == [f"work/{name}.new.ipynb" for name in UPDATED]
    assert git("status", "--porcelain", cwd=clone) == ""
