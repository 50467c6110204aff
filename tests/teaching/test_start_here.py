"""What notebook 00 shows: its figures, the table of stored results, and its map of all notebooks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from sdcda_tutorial.evaluation.metric_table import Row
from sdcda_tutorial.evaluation.results import Results
from sdcda_tutorial.teaching import notebook, start_here

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXT = (ROOT / "notebooks/text/00_start_here.py").read_text(encoding="utf-8")


def rows_of_the_map() -> dict[str, int]:
    """The notebooks of the map in 00 by file name, with their minutes."""
    found = re.findall(r"^# \| \[[^\]]+\]\((\w+)\.ipynb\) \|.*\| (\d+|–) \|$", TEXT, flags=re.M)
    return {name: 0 if minutes == "–" else int(minutes) for name, minutes in found}


def test_the_map_has_every_other_notebook() -> None:
    texts = sorted(path.stem for path in (ROOT / "notebooks/text").glob("*.py"))
    assert texts[0] == "00_start_here"
    assert set(texts[1:]) <= set(rows_of_the_map())


@pytest.mark.parametrize(("name", "minutes"), rows_of_the_map().items())
def test_the_map_states_the_minutes_of_each_notebook(name: str, minutes: int) -> None:
    path = ROOT / f"notebooks/{name}.ipynb"
    about = json.loads(path.read_text(encoding="utf-8"))["metadata"]["sdcda"] if path.exists() else {}
    if "minutes" not in about:
        pytest.skip("it states none")
    assert about["minutes"] == minutes
    assert f"(notebooks/{name}.ipynb)" in README and re.search(rf"{name}\.ipynb\).*\| {minutes} \|\n", README)


def evaluation(*predicted: float) -> Results:
    return Results([Row(f"{i}", 20.0 + i, value, 1.0, 0.0, {}) for i, value in enumerate(predicted)])


def test_counts_draw_every_image_of_both_counters() -> None:
    figure = start_here.counts(evaluation(30, 21, 60), evaluation(21, 22, 25))
    left, right = figure.axes
    assert [len(marks.get_offsets()) for marks in left.collections] == [3, 3]
    before, after = (np.asarray(marks.get_offsets())[:, 1] for marks in right.collections[1:])
    assert before.tolist() == [0, 10, 38] and after.tolist() == [1, 1, 3]  # sorted by the error before


def test_domains_draw_three_images_and_a_person_of_each() -> None:
    figure = start_here.domains(notebook.world())
    assert isinstance(figure, Figure) and [len(axis.images) for axis in figure.axes] == [1] * 12


def stored(name: str) -> dict:
    return json.loads((ROOT / f"data/results/{name}.json").read_text(encoding="utf-8"))


def test_the_text_quotes_the_stored_results() -> None:
    results = [stored(name) for name in ("mini_world", "unity_to_shanghaitech_a", "unity_to_shanghaitech_b")]
    said = " ".join(TEXT.replace("\n# ", " ").split())
    for row in start_here.table_of_results(*results):
        assert all(figure in said for figure in row[2:]), row
