"""For `pytest --nbval notebooks`: the mini world is there before the first cell, and every notebook keeps its budget."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import nbformat
import pytest

# A noisy machine may take this many times the budget that the notebook states.
SLACK = float(os.environ.get("SDCDA_TIME_SLACK", "3"))
ROOT = Path(__file__).resolve().parents[1]

spent: dict[Path, float] = defaultdict(float)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Drawn inside a notebook, the world would leave a progress bar that the stored outputs do not have."""
    if session.items and not session.config.option.collectonly:
        from sdcda_tutorial.datasets import MINI_ROOT
        from sdcda_tutorial.mini_world import ensure_mini_world

        ensure_mini_world(ROOT / MINI_ROOT)


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
