"""The laboratory in JupyterLab: three experiments by keyboard, and their rows after the kernel was restarted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import nbformat
from moving import LABORATORY, Opened
from playwright.sync_api import Locator
from test_demos import PICTURES, made

CELL = """\
from sdcda_tutorial.teaching import laboratory, notebook
notebook.begin()
laboratory.Laboratory().form()"""
STORED_ROWS = 4  # at least: of the five seeds
HEARD = 1000  # milliseconds after which the kernel knows what was chosen, on a busy machine too
TRAINING_SECONDS = 90  # the most that a few steps may take, with the first masks and on a busy machine


def field(form: Locator, label: str) -> Locator:
    """The control with this label."""
    labelled = form.locator(".widget-inline-hbox").filter(has=form.page.get_by_text(label, exact=True))
    return labelled.locator("select, input").first


def choose(form: Locator, label: str, down: int) -> None:
    """Press the arrow so many times in a list (upwards where negative), as a reader without a mouse does."""
    box = field(form, label)
    before = box.evaluate("e => e.selectedIndex")
    for key in ["Space", *["ArrowDown" if down > 0 else "ArrowUp"] * abs(down), "Enter"]:
        box.press(key)
    form.page.wait_for_timeout(HEARD)
    assert box.evaluate("e => e.selectedIndex") == before + down


def write(form: Locator, label: str, text: str) -> None:
    box = field(form, label)
    box.fill(text)
    box.press("Tab")
    form.page.wait_for_timeout(HEARD)
    assert box.input_value() == text


def rows(form: Locator) -> list[str]:
    return form.locator(".sdcda-table tr").all_inner_texts()[1:]


def train(form: Locator) -> list[str]:
    """Press Train with the keyboard, wait for the row; all rows."""
    before, end = len(rows(form)), time.monotonic() + TRAINING_SECONDS
    form.get_by_role("button", name="Train").press("Space")
    while len(rows(form)) == before:
        assert time.monotonic() < end, form.locator(".sdcda-said").inner_text()
        form.page.wait_for_timeout(200)
    form.page.wait_for_function("() => !document.querySelector('.sdcda-laboratory button').disabled", timeout=20_000)
    return rows(form)


def test_three_experiments_by_keyboard_and_their_rows_after_a_restart(show: Callable[..., Opened], lab: Any) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    notebook = show(made(lab.notebooks, [nbformat.v4.new_code_cell(CELL)]))
    assert notebook.run() == []
    form = notebook.page.locator(LABORATORY)
    assert len(rows(form)) >= STORED_ROWS and notebook.demos() == []

    write(form, "steps", "2")
    choose(form, "λt", -3)  # from 0.01 to 0
    assert "λt = 0, steps = 2" in train(form)[-1]
    choose(form, "λt", 3)
    choose(form, "masks", 2)
    assert "masks = shuffled, steps = 2" in train(form)[-1]
    write(form, "seed", "7")
    third = train(form)
    assert "masks = shuffled, seed = 7, steps = 2" in third[-1]
    assert "Done." in form.locator(".sdcda-said").inner_text()
    assert form.locator("img").evaluate("e => e.naturalWidth") > 500
    form.screenshot(path=PICTURES / "laboratory.png")

    notebook.choose("Kernel", "Restart Kernel and Clear Outputs of All Cells…")
    notebook.page.wait_for_function("() => document.querySelector('.jp-Dialog')")  # whether one is sure
    notebook.page.locator(".jp-CodeCell").first.hover()  # an action, which lets the fixture's handler answer
    notebook.page.wait_for_function(f"() => !document.querySelector('{LABORATORY}')", timeout=30_000)
    assert notebook.run() == []
    form = notebook.page.locator(LABORATORY)
    form.locator(".sdcda-table").wait_for()
    assert rows(form) == third
    # The same settings again are shown at once: the table stays, and the line says so.
    write(form, "steps", "2")
    choose(form, "λt", -3)
    form.get_by_role("button", name="Train").press("Space")
    form.locator(".sdcda-said").filter(has_text="is shown again").wait_for(timeout=20_000)
    assert rows(form) == third
    assert notebook.wrong() == []
