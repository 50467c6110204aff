"""Tables of stored results in the notebooks: by hand, and the paper's Table 1 as the paper prints it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from IPython.display import Markdown

from sdcda_tutorial.teaching import comparisons, notebook

MAE = {"se": [2.0, 4.0], "se@masks=none": [3.0, 9.0], "se@lambda_s=0.1": [1.0, 3.96]}


@pytest.fixture
def found() -> dict[str, Any]:
    def figure(mean: float, sd: float = 1.0) -> dict[str, float]:
        return {"mean": mean, "sd": sd}

    return {
        "seeds": [7, 8],
        "cells": [
            {"method": method, "domain": "target", "seed": seed, "mae": value}
            for method, values in MAE.items()
            for seed, value in zip((7, 8), values, strict=True)
        ],
        "summary": {
            f"{method} / target": {
                "mae": figure(float(np.mean(values)), float(np.std(values, ddof=1))),
                "ssim": figure(0.9, 0.01),
                "background": figure(5.0),
                "crowd": figure(-2.0),
            }
            for method, values in MAE.items()
        },
    }


def cells(table: Markdown) -> list[list[str]]:
    """Rows of a table, its heading first, without the rule."""
    lines = str(table.data).replace("\N{NO-BREAK SPACE}", " ").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [rows[0], *rows[2:]]


def test_names_have_the_symbols_of_the_paper() -> None:
    assert list(comparisons.names(list(MAE)).values()) == ["SE", "SE, masks: none", "SE, λs = 0.1"]
    assert comparisons.names(["se+fd@lambda_d=1e-05"]) == {"se+fd@lambda_d=1e-05": "SE+FD, λd = 0.00001"}


def test_spread_by_hand(found: dict[str, Any]) -> None:
    shown = cells(comparisons.spread(found, ["se"], ["mae", "ssim"]))
    assert shown == [["method", "MAE", "SSIM"], ["SE", "3.0 ± 1.4", "0.900 ± 0.010"]]


def test_differences_by_hand(found: dict[str, Any]) -> None:
    pairs = [("se@masks=none", "se"), ("se@lambda_s=0.1", "se")]
    head, none, weight = cells(comparisons.differences(found, pairs))
    assert head == ["A − B", "seed 7", "seed 8", "mean", "95 % interval", "A lower on"]
    assert none == ["SE, masks: none − SE", "+1.0", "+5.0", "+3.0", "−22.4 to +28.4", "0 of 2"]  # 3 ± 12.706 · 2
    assert weight[1:4] == ["−1.0", "−0.04", "−0.5"] and weight[-1] == "2 of 2"


def test_variants_stand_under_the_method_they_vary(found: dict[str, Any]) -> None:
    head, plain, none = cells(comparisons.variants(found, "se", ["se@masks=none"]))
    assert head[4] == "MAE − MAE of SE" and plain == ["SE", "3.0 ± 1.4", "+5.0", "−2.0", "–", "–", "–"]
    assert none[0] == "SE, masks: none" and none[4:] == ["+3.0", "−22.4 to +28.4", "0 of 2"]


def test_a_small_difference_keeps_its_side_of_zero() -> None:
    assert [comparisons._signed(value) for value in (-0.02, 0.02, 1.25)] == ["−0.02", "+0.02", "+1.2"]


def test_no_cell_of_a_table_breaks() -> None:
    assert "| 1\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}5" in str(comparisons.table(["a b"], [["1 of 5"]]).data)


def test_the_papers_table_beside_ours() -> None:
    head, *rows = cells(comparisons.beside_the_paper(notebook.result("table_1"), "mae", "psnr"))
    assert head == ["MAE / PSNR", "mini world, here", "ShanghaiTech A", "ShanghaiTech B", "UCF-QNRF"]
    assert [row[0] for row in rows] == list(comparisons.PAPER_ROWS.values())
    assert rows[-1][2:] == ["129.3 / 21.58", "16.9 / 26.20", "221.2 / 23.10"]
