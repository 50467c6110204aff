"""What `check` says of code that stops, or that gives nothing back."""

from __future__ import annotations

import linecache
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from sdcda_tutorial import masks
from sdcda_tutorial.teaching.exercises import verdict


class Notebook:
    """Cells that share their names, each compiled under a file name of its own, as IPython does."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"np": np}
        self.cells = 0

    def run(self, source: str) -> None:
        self.cells += 1
        name = f"<cell {self.cells} of {id(self)}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        exec(compile(source, name, "exec"), self.names)

    def function(self, name: str) -> FunctionType:
        return self.names[name]


def test_the_line_that_stopped_is_shown() -> None:
    cells = Notebook()
    cells.run("def kernel_width(sigma, share):\n    reach = sigma\n    return reach / 0 + 1\n")
    text = "your code stopped in line 3, `return reach / 0 + 1`, with ZeroDivisionError: float division by zero"
    said, hint = verdict("1.1", cells.function("kernel_width"))
    assert said == "wrong" and hint.startswith(text.partition("float")[0])


def test_of_several_cells_it_is_the_last_line_of_the_reader() -> None:
    """Not the line that called the helper, nor one of NumPy's own."""
    cells = Notebook()
    cells.run("def helper(x):\n    return np.broadcast_arrays(np.ones(2), np.ones(3))\n")
    cells.run("def kernel_width(sigma, share):\n    return helper(sigma)\n")
    hint = verdict("1.1", cells.function("kernel_width"))[1]
    assert "in line 2, `return np.broadcast_arrays(np.ones(2), np.ones(3))`, with ValueError: " in hint


def test_an_error_outside_the_readers_code_names_no_line() -> None:
    hint = verdict("11.2", lambda location: [[1], [2, 3]])[1]
    assert hint.startswith("your code stopped with ValueError: ") and "line" not in hint


def test_the_line_is_shown_in_a_case_of_its_own_too() -> None:
    """Exercise 8.2 tries a step without D, and says so."""
    cells = Notebook()
    cells.run("from sdcda_tutorial.adaptation import Adaptation")
    cells.run(
        "def step(self, source, target):\n    if self.D is None:\n        self.nothing\n"
        "    return Adaptation.step(self, source, target)\n"
    )
    hint = verdict("8.2", cells.function("step"))[1]
    assert "λs, λt, λd = 0, 0, 0 your step stopped in line 3, `self.nothing`, with AttributeError: " in hint


@pytest.mark.parametrize("number", ["0.1", "1.1", "3.2", "6.1", "9.1", "11.3"])
def test_a_forgotten_return_has_its_own_hint(number: str) -> None:
    def my_answer(*_: Any, **__: Any) -> None:
        pass

    text = "gave back nothing: is there a `return` in front of its result?"
    assert verdict(number, my_answer) == ("wrong", f"`my_answer` {text}")
    assert verdict(number, lambda *_, **__: None) == ("wrong", f"your function {text}")


def test_a_return_forgotten_in_one_branch_keeps_the_hint_that_says_which() -> None:
    def from_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
        return masks.from_boxes(boxes, size) if len(boxes) else None

    assert "an image without boxes" in verdict("2.1", from_boxes)[1]
