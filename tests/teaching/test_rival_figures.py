"""Tables and figures of notebook 10, from the stored results."""

from __future__ import annotations

import numpy as np
import torch

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.evaluation.colours import METHODS
from sdcda_tutorial.paper import TABLE_1
from sdcda_tutorial.teaching import notebook, rival_figures
from sdcda_tutorial.teaching.notebook import picture

FOUND = notebook.result("table_1")


def test_the_mae_by_seed_has_the_stored_mean() -> None:
    for method in rival_figures.COMPARED:
        stored = FOUND["summary"][f"{method} / target"]["mae"]
        of_seeds = rival_figures.mae_by_seed(FOUND, method)
        assert len(of_seeds) == 5 and abs(of_seeds.mean() - stored["mean"]) < 1e-3
        assert abs(np.std(of_seeds, ddof=1) - stored["sd"]) < 1e-3


def test_tables_hold_every_counter_and_method() -> None:
    rows = rival_figures.mean_table(FOUND).splitlines()
    assert len(rows) == 4 and all(row.count("|") == 6 for row in rows)
    assert rows[2].startswith("| the paper's counter |") and rows[2].endswith("| 8.9 ± 0.8 |")
    *_, last = rows = rival_figures.paper_table(FOUND).splitlines()
    assert len(rows) == 7 and last.startswith("| SE+FD | 8.9 | ")
    assert {score.method for score in TABLE_1} == set(rival_figures.PAPER)


def test_each_method_has_its_colour_in_both_panels() -> None:
    for draw in (rival_figures.seeds_joined, rival_figures.background_against_crowd):
        figure = draw(FOUND)
        for axis in figure.axes:
            shown = {tuple(colour[:3]) for collection in axis.collections for colour in collection.get_facecolor()}
            wanted = [METHODS[method].lstrip("#") for method in rival_figures.COMPARED]
            assert {tuple(round(255 * part) for part in colour) for colour in shown} == {
                tuple(bytes.fromhex(colour)) for colour in wanted
            }
        assert picture(figure)


def test_no_mark_lies_outside_the_axes() -> None:
    axes = rival_figures.background_against_crowd(FOUND).axes
    for axis in axes:
        points = np.concatenate([collection.get_offsets() for collection in axis.collections])
        (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
        assert (points[:, 0] > left).all() and (points[:, 0] < right).all()
        assert (points[:, 1] > low).all() and (points[:, 1] < high).all()


def test_maps_of_a_row_share_the_scale_of_the_truth_and_show_their_counts(target: CrowdDataset) -> None:
    samples = [target[0], target[1]]
    truths = [torch.full(sample.size, value) for sample, value in zip(samples, (0.01, 0.02), strict=True)]
    figure = rival_figures.maps(samples, truths, {"a": truths, "b": [2 * truth for truth in truths]})
    panels = figure.axes[:8]
    for row, truth in zip((panels[1:4], panels[5:8]), truths, strict=True):
        assert {axis.images[0].get_clim() for axis in row} == {(0.0, float(truth.max()))}
    assert panels[1].texts[0].get_text() == str(samples[0].count)
    assert float(panels[3].texts[0].get_text()) > float(panels[2].texts[0].get_text()) > 0
    assert [bar.get_ylabel() for bar in figure.axes[8:]] == ["", "people per pixel"]
