"""Tables and figures of notebook 10, from the stored results."""

from __future__ import annotations

import numpy as np

from sdcda_tutorial.evaluation.colours import METHODS
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


def test_each_method_has_its_colour_in_both_panels() -> None:
    figure = rival_figures.seeds_joined(FOUND)
    for axis in figure.axes:
        shown = {tuple(colour[:3]) for collection in axis.collections for colour in collection.get_facecolor()}
        wanted = [METHODS[method].lstrip("#") for method in rival_figures.COMPARED]
        assert {tuple(round(255 * part) for part in colour) for colour in shown} == {
            tuple(bytes.fromhex(colour)) for colour in wanted
        }
    assert picture(figure)
