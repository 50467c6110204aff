"""Every notebook as stored in JupyterLab; every control of every demo, moved with the keyboard.

Only the cells that the demos need are run, since `pytest --nbval notebooks` has run them all; `--all-cells` runs them
in the browser, too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from demo_cells import cells_for, leave_out_the_rest
from moving import OUTPUT, Opened

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PICTURES = ROOT / "build" / "browser"  # what the demos looked like, to be looked at

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
DEMO = """\
import matplotlib.pyplot as plt
from sdcda_tutorial.teaching.demos import choice, explore, slider

def render(shift, kind, unused):
    if shift > 2:
        raise ValueError("too far")
    figure, axis = plt.subplots(figsize=(3, 2))
    axis.set_title(f"{shift}" if kind == "shifted" else "still")
    return figure
"""
HAPPY = DEMO.replace("shift > 2", "False").replace('{shift}"', '{shift} {unused}"')
WIDGETS = """
explore(render, {
    "shift": slider("shift", 1, 1, 3, 1), "kind": choice("kind", ["still", "shifted"]),
    "unused": slider("unused", 0, 0, 1, 1),
})"""

STALLED = """\
import asyncio
import time
from matplotlib.figure import Figure
from sdcda_tutorial.teaching.demos import choice, explore

drawn = []

def render(size):
    drawn.append(size)
    return Figure(figsize=(size, 1))

async def stall():
    while len(drawn) < 2:
        time.sleep(5)  # neither reads a move nor says that it is busy
        await asyncio.sleep(0.01)

task = asyncio.get_running_loop().create_task(stall())
explore(render, {"size": choice("size", [1, 2])})"""

DRAG = """\
import time
import ipywidgets
from matplotlib.figure import Figure
from sdcda_tutorial.teaching.demos import explore, slider

drawn, said = [], ipywidgets.Label().add_class("drawn")

def render(value):
    time.sleep(0.3)  # a slow machine
    drawn.append(value)
    said.value = f"{len(drawn)} drawn, the last of {value}"
    return Figure(figsize=(2, 1))

ipywidgets.VBox([explore(render, {"value": slider("value", 0, 0, 100, 1)}), said])"""


def check_demos(notebook: Opened, name: str) -> tuple[list[str], list[str]]:
    """Move all demos of a notebook that has run; (what is wrong, what is worth knowing)."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    faults, notes = [], []
    for number, demo in enumerate(notebook.demos(), start=1):
        demo.move_all(PICTURES, f"{name}-{number}")
        faults += [f"demo {number}: {fault}" for fault in demo.faults]
        notes += [f"demo {number}: {note}" for note in demo.notes]
    return faults + notebook.wrong(), notes


def stored_faults(notebook: Opened, stored: Any) -> list[str]:
    """What a reader misses who opens the notebook and has not run it."""
    outputs = [output for cell in stored.cells for output in cell.get("outputs", [])]
    pictures = sum(any(kind.startswith("image/") for kind in output.get("data", {})) for output in outputs)
    shown, end = notebook.page.locator(f"{OUTPUT} img"), time.monotonic() + 15
    while shown.count() < pictures and time.monotonic() < end:  # outputs are drawn one after the other
        notebook.page.wait_for_timeout(250)
    missing = [] if shown.count() >= pictures else [f"{shown.count()} of {pictures} stored pictures are shown"]
    return missing + notebook.wrong()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_its_demos_follow_their_controls(
    path: Path, show: Callable[..., Opened], lab: Any, request: pytest.FixtureRequest
) -> None:
    began = time.monotonic()
    stored = nbformat.read(path, as_version=4)
    if not request.config.getoption("all_cells"):
        leave_out_the_rest(stored)
        nbformat.write(stored, lab.notebooks / path.name)
    notebook = show(path.name)
    faults = [f"before it is run: {fault}" for fault in stored_faults(notebook, stored)]
    opened = time.monotonic()
    faults += notebook.run()
    ran = time.monotonic()
    demo_faults, notes = check_demos(notebook, path.stem)
    if any("sdcda_tutorial.teaching.demos" in cell.source for cell in stored.cells) and not notes:
        demo_faults.append("it uses a demo, but none is on the page")
    print(f"opened {opened - began:.0f} s, run {ran - opened:.0f} s, demos {time.monotonic() - ran:.0f} s")
    print(*notes, *faults, *demo_faults, sep="\n")
    faults += demo_faults
    if faults:
        notebook.page.screenshot(path=PICTURES / f"{path.stem}-failed.png")
    assert not faults, "\n".join(faults)


def test_the_cells_that_a_demo_needs() -> None:
    cells = [
        "import numpy as np\nnotebook.begin()", "x = [1]\ny = 2", "for x_ in (1, 2):\n    print(x_)", "x.append(y)",
        "x = 0", "y = [x for x in range(3)]", "def f(a):\n    b = a\n    return b + x", "b = 5",
        "demo(f, y[0], np.ones(2))",
    ]  # fmt: skip
    assert cells_for({8}, cells) == {0, 4, 5, 6, 8}
    assert cells_for({3}, cells) == {0, 1, 3}


def made(folder: Path, cells: list[Any]) -> str:
    """Write a small notebook beside the copies of the real ones."""
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), folder / "made.ipynb")
    return "made.ipynb"


def test_a_failing_picture_and_an_idle_control_are_found(show: Callable[..., Opened], lab: Any) -> None:
    notebook = show(made(lab.notebooks, [nbformat.v4.new_code_cell(DEMO + WIDGETS)]))
    assert notebook.run() == []
    faults, _ = check_demos(notebook, "made")
    assert "demo 1: at shift = 3 the demo says: ValueError: too far" in faults
    assert "demo 1: unused (slider) never changes the picture" in faults
    assert not any("shift (slider)" in fault or "kind (select)" in fault for fault in faults)


def test_a_control_that_works_in_another_state_is_no_fault(show: Callable[..., Opened], lab: Any) -> None:
    notebook = show(made(lab.notebooks, [nbformat.v4.new_code_cell(HAPPY + WIDGETS)]))
    assert notebook.run() == []
    faults, notes = check_demos(notebook, "made")
    assert faults == []
    assert notes[:2] == [
        "demo 1: shift changes the picture only after kind = shifted",
        "demo 1: unused changes the picture only after kind = shifted",
    ]


def test_a_kernel_that_stalls_is_waited_for(show: Callable[..., Opened], lab: Any) -> None:
    notebook = show(made(lab.notebooks, [nbformat.v4.new_code_cell(STALLED)]))
    assert notebook.run() == []
    assert check_demos(notebook, "made")[0] == []


def test_errors_and_widgets_without_their_model_are_found(show: Callable[..., Opened], lab: Any) -> None:
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "0" * 32, "version_major": 2, "version_minor": 0}}
    cells = [f"from IPython.display import display\ndisplay({view}, raw=True)", "1 / 0", "3"]
    notebook = show(made(lab.notebooks, [nbformat.v4.new_code_cell(cell) for cell in cells]))
    faults = notebook.run()
    assert "code cells not run: 3" in faults
    assert any("ZeroDivisionError" in fault for fault in faults)
    assert any(fault.startswith("instead of a widget") for fault in faults)


def test_a_drag_is_drawn_on_its_way_and_ends_where_the_hand_is(show: Callable[..., Opened], lab: Any) -> None:
    notebook = show(made(lab.notebooks, [nbformat.v4.new_code_cell(DRAG)]))
    assert notebook.run() == []
    page = notebook.page
    handle = page.locator(".noUi-handle").bounding_box()
    track = page.locator(".noUi-target").bounding_box()
    assert handle is not None and track is not None
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    for step in range(1, 61):
        page.mouse.move(track["x"] + step / 60 * track["width"], handle["y"] + 3)
        page.wait_for_timeout(20)
    page.mouse.up()
    began = time.monotonic()
    page.locator(".drawn", has_text="the last of 100").wait_for(timeout=20_000)
    print(f"the last picture came {time.monotonic() - began:.2f} s after the hand had let go")
    page.wait_for_timeout(1000)
    drawn, last = (int(word) for word in re.findall(r"\d+", page.locator(".drawn").inner_text()))
    print(f"{drawn} pictures of 60 moves")
    assert last == 100 and 2 <= drawn <= 30
