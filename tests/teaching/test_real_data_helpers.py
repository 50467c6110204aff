"""What notebook 11 imports: the broken copy, and the figures and tables of tiles and photographs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdcda_tutorial.datasets.check import check
from sdcda_tutorial.experiments.statistics import counts, methods_of
from sdcda_tutorial.mini_world import ensure_mini_world
from sdcda_tutorial.places import MINI_ROOT
from sdcda_tutorial.teaching import notebook, photograph_figures
from sdcda_tutorial.teaching.broken_copy import broken_copy
from sdcda_tutorial.teaching.notebook import picture

TARGETS = [notebook.result(f"unity_to_shanghaitech_{part}") for part in "ab"]


@pytest.mark.slow
def test_the_check_finds_three_of_the_four_faults(tmp_path: Path) -> None:
    ensure_mini_world(MINI_ROOT)
    for _ in range(2):  # a second copy replaces the first
        copy = broken_copy(tmp_path / "copy")
        report = check("shanghaitech-b", copy, progress=False)
        assert sorted(os.path.basename(fault.path) for fault in report.faults) == ["GT_IMG_5.mat", "IMG_3.jpg"]
        assert [os.path.basename(note.path) for note in report.notes] == ["Thumbs.db"]
        assert [tally.found for tally in report.tallies[:2]] == [7, 4]
    annotations = copy / "part_B/train_data/ground-truth"
    assert (annotations / "GT_IMG_7.mat").read_bytes() == (annotations / "GT_IMG_1.mat").read_bytes()


def small_result() -> dict[str, Any]:
    """Two seeds on six images of 100 people, by hand."""
    people = [100] * 6
    counted = {
        "noadapt-early": ([90] * 6, [90] * 6),  # the better baseline: off by 10 everywhere
        "noadapt": ([80] * 6, [80] * 6),
        "se": ([100, 89, 89, 89, 89, 89], [100, 89, 89, 89, 89, 89]),  # 10 better once, 1 worse five times
        "fd": ([90] * 6, [92] * 6),
        "se+fd": ([100] * 6, [90] * 6),
    }
    images = {
        str(seed): {"count": people, "predicted": {method: of[seed - 1] for method, of in counted.items()}}
        for seed in (1, 2)
    }
    summary = {
        f"{method} / target": {
            name: {"mean": float(np.mean(np.abs(np.array(of) - 100))), "sd": 0.0}
            for name in ("mae", "mse", "background", "crowd")
        }
        for method, of in counted.items()
    }
    return {"seeds": [1, 2], "images": images, "summary": summary}


def test_gains_are_counted_against_the_better_source_only_counter() -> None:
    found = small_result()
    assert photograph_figures.better_baseline(found) == "noadapt-early"
    assert photograph_figures.gains(found, "se").tolist() == [10, -1, -1, -1, -1, -1]
    assert photograph_figures.gains(found, "se+fd").tolist() == [5] * 6
    header, _, se, fd, both = photograph_figures.gains_table(found).splitlines()
    assert "minus that of NoAdapt (early)" in header
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in (se, fd, both)]
    assert [row[0] for row in cells] == ["SE", "FD", "SE+FD"]
    assert [row[1] for row in cells] == ["-0.8", "-1.0", "-5.0"]
    assert [row[3:] for row in cells] == [
        ["2 of 2", "17%", "+1.0", "+1.0", "-10.0"],
        ["1 of 2", "100%", "-1.0", "-1.0", "-1.0"],
        ["1 of 2", "100%", "-5.0", "-5.0", "-5.0"],
    ]  # fmt: skip


def test_the_table_has_a_row_per_method() -> None:
    for found in TARGETS:
        rows = photograph_figures.photographs_table(found).splitlines()
        mae = found["summary"]["se+fd / target"]["mae"]
        assert len(rows) == 2 + len(methods_of(found))
        assert any(row.startswith(f"| SE+FD | {mae['mean']:.1f} ± {mae['sd']:.1f} |") for row in rows)


@pytest.mark.parametrize("found", TARGETS)
def test_every_photograph_is_inside_its_panel(found: dict[str, Any]) -> None:
    methods = ("noadapt-early", "se+fd")
    figure = photograph_figures.predicted_against_true(found, methods)
    for axis, method in zip(figure.axes, methods, strict=True):
        points = axis.collections[0].get_offsets()
        predicted = np.concatenate(counts(found, method))
        assert len(points) == len(predicted) == len(found["seeds"]) * found["cells"][0]["images"]
        assert len(axis.collections[1].get_offsets()) == len(found["seeds"])  # rings around one image
        assert points.max(axis=0)[0] < axis.get_xlim()[1] and points.max(axis=0)[1] < axis.get_ylim()[1]
        assert points.max(axis=0)[1] == pytest.approx(predicted.max(), abs=0.1)
    assert picture(figure)
