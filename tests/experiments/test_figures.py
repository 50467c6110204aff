"""Figures of stored results: every seed is there, on the right side of zero, in the colour of its method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from sdcda_tutorial.evaluation.colours import GREY, METHODS
from sdcda_tutorial.experiments import figures

MAE = {"noadapt": [6.0, 9.0], "se": [2.0, 3.0], "se+fd": [1.0, 4.0]}  # on the target, seeds 7 and 8
TITLES = {"noadapt": "NoAdapt", "se": "SE", "se+fd": "SE+FD"}


@pytest.fixture
def found() -> dict[str, Any]:
    cells = [
        {"method": method, "domain": domain, "seed": seed, "mae": value + (10 if domain == "source" else 0)}
        for method, values in MAE.items()
        for seed, value in reversed(list(zip((7, 8), values, strict=True)))  # in an order of its own
        for domain in ("source", "target")
    ]
    return {"seeds": [7, 8], "cells": cells, "summary": {f"{m} / {d}": {} for m in MAE for d in ("source", "target")}}


def rows(axis: Axes) -> dict[str, tuple[list[float], str]]:
    """Label of each row -> values of its dots and their colour."""
    labels = [text.get_text() for text in axis.get_yticklabels()]
    found = {}
    for dots in axis.collections:
        x, y = np.asarray(dots.get_offsets()).T
        found[labels[int(y[0])]] = (x.tolist(), to_hex(np.asarray(dots.get_facecolor())[0]).upper())
    return found


def test_one_value_per_seed_in_the_order_of_the_seeds(found: dict[str, Any]) -> None:
    assert figures.per_seed(found, "se").tolist() == [2, 3]
    assert figures.per_seed(found, "se", "source").tolist() == [12, 13]


def test_a_method_keeps_its_colour_with_either_counter_and_in_its_variants() -> None:
    same = {figures.colour_of(name) for name in ("se+fd", "sfcn-se+fd", "se+fd@lambda_d=0.01")}
    assert same == {METHODS["se+fd"]}
    assert figures.colour_of("another") == GREY


def test_both_domains_show_every_seed_with_the_first_method_on_top(found: dict[str, Any]) -> None:
    target, source = figures.both_domains(found, TITLES).axes
    assert rows(target) == {TITLES[m]: (values, METHODS[m].upper()) for m, values in MAE.items()}
    on_source = [np.asarray(dots.get_offsets())[:, 0].tolist() for dots in source.collections]
    assert on_source == [[v + 10 for v in values] for values in MAE.values()]
    assert target.get_ylim()[0] > target.get_ylim()[1] and target.get_xlim()[0] == source.get_xlim()[0] == 0


@pytest.mark.parametrize("linear", [None, 2.0])
def test_differences_are_the_first_minus_the_second_seed_by_seed(found: dict[str, Any], linear: float | None) -> None:
    pairs = [("se", "noadapt"), ("se+fd", "se")]
    (axis,) = figures.difference_plot(found, pairs, TITLES, linear=linear).axes
    shown = rows(axis)
    assert shown == {
        "SE − NoAdapt": ([-4, -6], METHODS["se"].upper()),
        "SE+FD − SE": ([-1, 1], METHODS["se+fd"].upper()),
    }
    low, high = axis.get_xlim()
    assert low < -6 and high > 1
    if linear is not None:
        assert "0" in [label.get_text() for label in axis.get_xticklabels()]
