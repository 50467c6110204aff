"""For `pytest --nbval notebooks`: the mini world, budgets of time, and figures with a tolerance.

A cell without a tolerance in its metadata is compared letter by letter (sdcda_tutorial/teaching/tolerance.py).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbval.plugin import IPyNbCell

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.teaching.tolerance import Tolerance, reconcile_outputs, tolerance_of

# A noisy machine may take this many times the budget that the notebook states.
SLACK = float(os.environ.get("SDCDA_TIME_SLACK", "3"))
ROOT = Path(__file__).resolve().parents[1]

spent: dict[Path, float] = defaultdict(float)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Drawn inside notebook 11, the world would leave a progress bar that the stored outputs do not have."""
    if session.items and not session.config.option.collectonly:
        from sdcda_tutorial.mini_world import ensure_mini_world
        from sdcda_tutorial.places import MINI_ROOT

        ensure_mini_world(ROOT / MINI_ROOT)


def pytest_itemcollected(item: pytest.Item) -> None:
    """A cell that states a tolerance is compared with it; nbval still finds and reports what differs."""
    if isinstance(item, IPyNbCell):
        try:
            tolerance = tolerance_of(item.cell.metadata)
        except InputError:
            return  # the cell fails when it is run: one mistake shall not end the collection
        if tolerance is not None:
            item.compare_outputs = with_tolerance(item, tolerance)


def with_tolerance(item: IPyNbCell, tolerance: Tolerance) -> Callable[..., bool]:
    strict = item.compare_outputs

    def compare_outputs(new: list[Any], stored: list[Any], *more: Any, **options: Any) -> bool:
        met, misses = reconcile_outputs(stored, new, tolerance)
        same = strict(met, stored, *more, **options)
        if misses:
            item.comparison_traceback += ["", f"beyond the tolerance of rel {tolerance.rel:g}, abs {tolerance.abs:g}:"]
            item.comparison_traceback += [f"  {miss}" for miss in misses]
        return same

    return compare_outputs


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A tolerance that cannot be meant fails its cell, whatever else the cell does."""
    try:
        yield
    finally:
        if isinstance(item, IPyNbCell):
            try:
                tolerance_of(item.cell.metadata)
            except InputError as error:
                item.raise_cell_error(f"Bad metadata: {error}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """The cell with which a notebook oversteps its budget fails."""
    report = yield
    if item.path.suffix == ".ipynb":
        before = spent[item.path]
        spent[item.path] += call.duration
        budget = nbformat.read(item.path, as_version=4).metadata.get("sdcda", {}).get("seconds")
        if budget is None:
            report.outcome, report.longrepr = "failed", f"{item.path.name} states no budget (metadata sdcda.seconds)"
        elif before <= SLACK * budget < spent[item.path] and report.passed:
            report.outcome = "failed"
            report.longrepr = f"{item.path.name} took more than {SLACK:g} times its budget of {budget} s"
    return report
