"""Right answers are kept as files that run alone, and can stand in for the package's functions."""

from __future__ import annotations

import inspect
import linecache
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sdcda_tutorial import losses
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.teaching import answers
from sdcda_tutorial.teaching.exercises import EXERCISES, Exercise, Hint, check, exercise

CELL = """
import functools
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from sdcda_tutorial import losses as L
HALF, NAMES = 0.5, ("pred", "truth")

def squared(a):
    return (a * a).mean()

def mine(pred: Tensor, truth: Tensor) -> Tensor:
    assert len(NAMES) == 2 and L.LossWeights() and F.relu
    return HALF * squared(pred - truth)

def calls_itself(n):
    return 1 if n == 0 else calls_itself(n - 1)

def uses_a_tensor(pred, truth):
    return WEIGHT * squared(pred - truth)

sq = lambda a: a * a
av = lambda a: a.mean()
alias = squared
BIG, TINY = float("inf"), np.log(2)
mean = WEIGHT

def with_helpers(pred, truth, factor=HALF, most=BIG):
    return min(factor * av(sq(pred - truth)), most) + 0 * alias(pred) * TINY + 0 * (pred - truth).mean()

@torch.enable_grad()
def decorated(pred, truth):
    return HALF * squared(pred - truth)

def uses_a_made_thing(pred, truth):
    return HALF * mse(pred, truth)

lambda_answer = lambda pred, truth: squared(pred - truth)

def made_with(factor):
    def inside(pred, truth):
        return factor * squared(pred - truth)
    return inside

closure = made_with(0.5)

def uses_a_closure(pred, truth):
    return closure(pred, truth)

@functools.cache
def half():
    return 0.5

def uses_a_cached(pred, truth):
    return half() * squared(pred - truth)

class Half:
    def __call__(self, error):
        return 0.5 * squared(error)

def uses_a_class(pred, truth):
    return Half()(pred - truth)

LATER = 0.5

def had_another_default(pred, truth, factor=LATER):
    return factor * squared(pred - truth)

LATER = 1.0
"""


def judge(answer: Any) -> tuple[str, str]:
    """As `verdict`, of an answer that halves the mean of the squares: of 3 and 1 that is (9 + 1) / 2 / 2."""
    found = float(answer(torch.tensor([3.0, 1.0]), torch.zeros(2)))
    return ("right", "") if abs(found - 2.5) < 1e-6 else ("wrong", f"{found:g}, not 2.5.")


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that a notebook has after a cell was run, as IPython runs it."""
    name = "<ipython-input-answers>"
    linecache.cache[name] = (len(CELL), None, CELL.splitlines(keepends=True), name)
    names: dict[str, Any] = {"__name__": "__main__", "WEIGHT": torch.ones(()), "mse": torch.nn.MSELoss()}
    exec(compile(CELL, name, "exec", dont_inherit=True), names)
    for made in ("Half", "half"):  # as in a kernel, where they can be imported until it stops
        monkeypatch.setattr(sys.modules["__main__"], made, names[made], raising=False)
    return names


@pytest.fixture
def in_a_lesson(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_in_a_lesson", lambda: True)


@pytest.mark.parametrize("name", ["mine", "with_helpers", "decorated", "uses_a_cached"])
def test_a_kept_answer_runs_alone(cell: dict[str, Any], in_a_lesson: None, tmp_path: Path, name: str) -> None:
    assert answers.keep("4.2", "losses.density_loss", cell[name], judge, tmp_path) is None
    assert (tmp_path / "4.2.py").exists()
    found, complaints = answers.kept(tmp_path)
    assert complaints == [] and found["losses.density_loss"].number == "4.2"
    pred, truth = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4)
    assert found["losses.density_loss"].function(pred, truth) == pytest.approx(float(losses.density_loss(pred, truth)))


def test_a_function_that_calls_itself_is_kept_once(cell: dict[str, Any]) -> None:
    assert answers.source(cell["calls_itself"]).count("def calls_itself") == 1


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("lambda_answer", "not a function with a name"), ("uses_a_tensor", "WEIGHT is made in another line"),
        ("uses_a_made_thing", "mse is made in another line"), ("WEIGHT", "not a function with a name"),
        ("closure", "inside takes factor from the function around"),
        ("uses_a_closure", "closure takes factor from the function around"),
        ("uses_a_class", "Half is made in another line"),
        ("had_another_default", "by itself not right any more: 5, not 2.5"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_down_is_not_kept_and_that_is_said(
    name: str, why: str, cell: dict[str, Any], in_a_lesson: None, tmp_path: Path
) -> None:
    said = answers.keep("4.2", "losses.density_loss", cell[name], judge, tmp_path)
    assert said is not None and f"({why}" in said.replace("it is ", "") and said.endswith("inside it")
    assert list(tmp_path.iterdir()) == []
    answers.keep("4.2", "losses.density_loss", cell["mine"], judge, tmp_path)
    before = (tmp_path / "4.2.py").read_text()
    said = answers.keep("4.2", "losses.density_loss", cell[name], judge, tmp_path)
    assert said is not None and said.endswith("an earlier answer of yours stays in its place")
    assert (tmp_path / "4.2.py").read_text() == before


def test_nothing_is_kept_outside_a_notebook_or_in_a_solution(
    cell: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers.keep("4.2", "losses.density_loss", cell["mine"], judge, tmp_path)

    class Shell:
        starting_dir = os.path.join("project", "notebooks", "solutions")

    monkeypatch.setattr("IPython.get_ipython", Shell)
    answers.keep("4.2", "losses.density_loss", cell["mine"], judge, tmp_path)
    assert list(tmp_path.iterdir()) == []
    Shell.starting_dir = os.path.join("project", "notebooks")
    answers.keep("4.2", "losses.density_loss", cell["mine"], judge, tmp_path)
    assert (tmp_path / "4.2.py").exists()


@pytest.mark.usefixtures("in_a_lesson")
def test_check_keeps_a_right_answer_only(
    cell: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def checker(answer: Any) -> None:
        """well done."""
        if judge(answer)[0] != "right":
            raise Hint("no")

    exercise = Exercise("4.9", "t", 1, 1, "well done.", checker, replaces="losses.density_loss")
    monkeypatch.setitem(EXERCISES, "4.9", exercise)
    check("4.9", lambda pred, truth: (pred - truth).sum())
    assert not answers.FOLDER.exists()
    check("4.9", cell["mine"])
    assert (tmp_path / answers.FOLDER / "4.9.py").exists()
    assert capsys.readouterr().out.splitlines()[-1] == "✔ 4.9: well done."
    check("4.9", cell["had_another_default"])
    _, said = capsys.readouterr().out.splitlines()
    assert "by itself it is not right any more: no)" in said and said.endswith("stays in its place")


def test_only_known_functions_can_be_replaced() -> None:
    with pytest.raises(ValueError, match="no answer can replace"):
        exercise("4.9", "t", difficulty=1, minutes=1, replaces="losses.other")
    for name in answers.REPLACEABLE:
        owner, attribute = answers._place(name)
        assert inspect.isfunction(getattr(owner, attribute))


HEAD = "# Your answer to exercise 4.2, kept on 2026-01-01. Function mine replaces losses.density_loss.\n"


@pytest.mark.parametrize(
    "text",
    ["", "def mine(): pass\n", HEAD + "def mine(:\n", HEAD + "def other(): pass\n", HEAD.replace("density", "no")],
)
def test_foreign_and_broken_files_are_left_out_with_a_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "4.2.py").write_text(text)
    found, complaints = answers.kept(tmp_path)
    assert found == {} and len(complaints) == 1
    assert "4.2.py is left out" in complaints[0] and "\n" not in complaints[0]


def test_a_backup_does_not_stand_in_for_the_answer(tmp_path: Path) -> None:
    (tmp_path / "4.2.py").write_text(HEAD + "def mine(): return 2\n")
    (tmp_path / "4.2_old.py").write_text(HEAD + "def mine(): return 1\n")
    found, (complaint,) = answers.kept(tmp_path)
    assert found["losses.density_loss"].function() == 2
    assert "4.2_old.py is left out (the answer to exercise 4.2 is 4.2.py)" in complaint


def test_the_package_calls_the_readers_function_in_the_block_only(tmp_path: Path) -> None:
    (tmp_path / "4.2.py").write_text(HEAD + "def mine(pred, truth):\n    return pred.sum() * 0 + 7\n")
    package = losses.density_loss
    found, _ = answers.kept(tmp_path)
    with answers.in_place_of_the_package(found) as calls:
        assert float(losses.density_loss(torch.ones(2), torch.ones(2))) == 7
    assert calls == {"losses.density_loss": 1} and losses.density_loss is package


def test_a_crash_names_file_line_and_code(tmp_path: Path) -> None:
    (tmp_path / "4.2.py").write_text(HEAD + "\ndef mine(pred, truth):\n    return pred.nothing(truth)\n")
    found, _ = answers.kept(tmp_path)
    with pytest.raises(InputError) as raised, answers.in_place_of_the_package(found):
        losses.density_loss(torch.ones(2), torch.ones(2))
    text = str(raised.value)
    assert "your losses.density_loss (exercise 4.2)" in text and "line 4, `return pred.nothing(truth)`" in text
    assert "AttributeError" in text and "\n" not in text


def test_an_error_of_others_stays_itself(tmp_path: Path) -> None:
    (tmp_path / "4.2.py").write_text(HEAD + "def mine(pred, truth):\n    return 0\n")
    with pytest.raises(ZeroDivisionError), answers.in_place_of_the_package(answers.kept(tmp_path)[0]):
        _ = 1 / 0
