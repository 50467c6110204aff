"""How long a demo of the notebooks takes to answer a control, and how often its figure could be drawn meanwhile.

    python benchmarks/bench_widgets.py [rounds]

The demos are found in the notebooks: each cell that shows one is run after the cells that it needs. Every control is
moved to places where it has not been, so that no network's answer is known yet. An answer takes from the move to the
new picture, in a running event loop as in a kernel, without the way to the browser and back. Left out are the form of
the laboratory, whose controls change nothing until its button is pressed, and the choice of a file.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import statistics
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import ipywidgets
import nbformat
from matplotlib.figure import Figure
from rounds import main

from sdcda_tutorial.teaching.demos.redrawing import Redrawing

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "browser"))
from demo_cells import INTERACTIVE, cells_for  # noqa: E402

Call = tuple[str, ipywidgets.VBox]
MOVES = 3


def demos_of(notebook: Path) -> Iterator[Call]:
    """(function, what it returned) of each demo of a notebook, whose cells are run as far as it needs them."""
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    wanted = {k for k, cell in enumerate(cells) if any(INTERACTIVE in str(output) for output in cell.outputs)}
    names: dict[str, Any] = {}
    for number in sorted(cells_for(wanted, [cell.source for cell in cells])):
        *statements, last = ast.parse(cells[number].source).body
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            exec(compile(ast.Module(statements, []), notebook.name, "exec"), names)
            if number not in wanted:
                exec(compile(ast.Module([last], []), notebook.name, "exec"), names)
                continue
            assert isinstance(last, ast.Expr) and isinstance(last.value, ast.Call)
            shown = eval(compile(ast.Expression(last.value), notebook.name, "eval"), names)
        yield ast.unparse(last.value.func).rpartition(".")[2], shown


@cache
def all_demos() -> list[Call]:
    """Every demo with a picture, in the order of the notebooks."""
    found = [demo for path in sorted((ROOT / "notebooks").glob("*.ipynb")) for demo in demos_of(path)]
    return [(name, box) for name, box in found if picture_of(box)]


def picture_of(box: ipywidgets.VBox) -> ipywidgets.Image | None:
    return next((child for child in box.children if isinstance(child, ipywidgets.Image)), None)


def places(control: ipywidgets.Widget, number: int) -> list[Any]:
    """Where to move a control: evenly along a slider, through a list; nowhere for anything else."""
    if isinstance(control, ipywidgets.IntSlider | ipywidgets.FloatSlider):
        steps = round((control.max - control.min) / control.step)
        found = [control.min + control.step * round(steps * k / number) for k in range(number + 1)]
    elif isinstance(control, ipywidgets.Dropdown):
        found = [option[1] if isinstance(option, tuple) else option for option in control.options]
    else:
        return []
    return [place for place in dict.fromkeys(found) if place != control.value][:number]


async def answer(control: ipywidgets.Widget, place: Any, image: ipywidgets.Image) -> float:
    """Seconds from a move of a control to the picture."""
    began = time.perf_counter()
    control.value = place
    while "sdcda-stale" in image._dom_classes:
        await asyncio.sleep(0)
    return time.perf_counter() - began


def redrawn(figure: Figure) -> float:
    """Seconds in which matplotlib draws a figure that is complete."""
    began = time.perf_counter()
    figure.canvas.draw()
    return time.perf_counter() - began


@contextlib.contextmanager
def figures() -> Iterator[list[Figure]]:
    """The figures that demos draw in this block, the last one only."""
    last: list[Figure] = []
    original = Redrawing.picture

    def picture(self: Redrawing, figure: Figure) -> bytes:
        last[:] = [figure]
        return original(self, figure)

    Redrawing.picture = picture  # type: ignore[method-assign]
    try:
        yield last
    finally:
        Redrawing.picture = original  # type: ignore[method-assign]


def measured(box: ipywidgets.VBox, moves: int) -> tuple[dict[str, float], float]:
    """(milliseconds by control, an answer over a redrawing) of a demo: medians over the moves."""
    image, by_control, ratios = picture_of(box), {}, []
    with figures() as drawn:
        for control in box.children:
            start, seconds = getattr(control, "value", None), []
            for place in places(control, moves):
                seconds.append(asyncio.run(answer(control, place, image)))
                ratios.append(seconds[-1] / redrawn(drawn[0]))
            if seconds:
                by_control[control.description] = 1000 * statistics.median(seconds)
                control.value = start
    assert box.children[-1].value == "", box.children[-1].value  # the picture failed
    return by_control, statistics.median(ratios)


def measure(quick: bool) -> dict[str, float]:
    found = {}
    for name, box in all_demos():
        by_control, ratio = measured(box, 1 if quick else MOVES)
        found |= {f"{name}, {control}, ms": ms for control, ms in by_control.items()}
        found[f"{name}: answer / redrawing its figure"] = ratio
    return found


if __name__ == "__main__":
    main(measure)
