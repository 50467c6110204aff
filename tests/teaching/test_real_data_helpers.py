"""What notebook 11 imports: the broken copy, and the figures and tables of tiles and photographs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sdcda_tutorial.datasets.check import check
from sdcda_tutorial.mini_world import ensure_mini_world
from sdcda_tutorial.places import MINI_ROOT
from sdcda_tutorial.teaching import notebook, photograph_figures
from sdcda_tutorial.teaching.broken_copy import broken_copy
from sdcda_tutorial.teaching.notebook import picture

FOUND = notebook.result("unity_to_shanghaitech_b")


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


def test_errors_have_the_stored_mean() -> None:
    for method, errors in photograph_figures.errors_by_image(FOUND).items():
        assert errors.shape == (4, 80)
        assert abs(errors.mean() - FOUND["summary"][f"{method} / target"]["mae"]["mean"]) < 0.05


def test_the_table_has_a_row_per_method() -> None:
    rows = photograph_figures.photographs_table(FOUND).splitlines()
    assert len(rows) == 7 and rows[-1] == "| SE+FD | 36.8 ± 5.1 | 62.6 ± 7.8 | -72.9 ± 8.1 |"


def test_every_photograph_is_inside_its_panel() -> None:
    figure = photograph_figures.predicted_against_true(FOUND, ("noadapt-early", "se+fd"))
    for axis, method in zip(figure.axes, ("noadapt-early", "se+fd"), strict=True):
        points = axis.collections[0].get_offsets()
        assert len(points) == 4 * 80
        assert points.max(axis=0)[0] < axis.get_xlim()[1] and points.max(axis=0)[1] < axis.get_ylim()[1]
        highest = max(map(max, FOUND["images"]["predicted"][method].values()))
        assert points.max(axis=0)[1] == pytest.approx(highest, abs=0.1)
    assert picture(figure)


def test_a_tile_is_framed_within_the_image() -> None:
    image = np.zeros((100, 200, 3), dtype=np.uint8)
    tile, seen = (slice(80, 160), slice(0, 80)), (slice(60, 180), slice(0, 100))
    figure = photograph_figures.tiles_and_difference(image, tile, seen, torch.zeros(100, 200))
    frames = [frame.get_bbox().bounds for frame in figure.axes[0].patches]
    assert frames == [(0, 80, 80, 20), (0, 60, 100, 40)]
    assert picture(figure)
