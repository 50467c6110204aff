"""Where a density map errs, by hand and as properties."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import error_places
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdcda_tutorial.datasets import open_dataset
from sdcda_tutorial.density import density_map
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.spacing import CLASSES, people_by_spacing
from sdcda_tutorial.places import model
from sdcda_tutorial.training.checkpoints import weights_digest

SIZE = 60, 240


def test_every_person_is_in_the_class_of_the_nearest_head() -> None:
    close = [(x, 20.5) for x in (10.5, 14.5, 18.5, 22.5)]  # spacings 8, 5.3, 5.3, 8
    apart = [(x, 20.5) for x in (90.5, 106.5, 122.5)]  # 38.7, 38.7 and 49.3, which is cut to 48
    density = torch.zeros(SIZE)
    density[20, 12] = 1.5  # on the close ones
    density[20, 106] = 0.25  # on the middle one of the others
    density[20, 90] = 0.5
    density[59, 239] = 2.0  # 123 pixels from the last head, more than 2 × 48
    true, predicted = people_by_spacing(density, close + apart)
    assert true.tolist() == [4, 0, 3, 0]
    assert predicted.tolist() == [1.5, 0, 0.75, 2.0]


def test_two_spacings_are_the_border() -> None:
    heads = [(50.5, 30.5), (62.5, 30.5)]  # spacing 12 each
    for distance, place in ((24, 1), (25, 3)):
        density = torch.zeros(SIZE)
        density[30, 50 - distance] = 1.0
        true, predicted = people_by_spacing(density, heads)
        assert true.tolist() == [0, 2, 0, 0] and predicted.tolist() == np.eye(4)[place].tolist()


def test_without_heads_everything_is_far() -> None:
    true, predicted = people_by_spacing(torch.full(SIZE, 0.01), [])
    assert true.tolist() == [0, 0, 0, 0] and np.allclose(predicted, [0, 0, 0, 0.01 * 60 * 240])
    assert len(CLASSES) == 4


@given(st.lists(st.tuples(st.floats(0, 199), st.floats(0, 59)), max_size=12), st.integers(0, 9))
def test_the_classes_add_up_to_the_counts(heads: list[tuple[float, float]], seed: int) -> None:
    density = torch.rand(SIZE, generator=torch.Generator().manual_seed(seed))
    true, predicted = people_by_spacing(density, heads)
    assert true.sum() == len(heads) and np.isclose(predicted.sum(), float(density.sum()), rtol=1e-5)
    _, own = people_by_spacing(density_map(np.array(heads).reshape(-1, 2), SIZE, sigma=1.0, kernel_size=3), heads)
    assert own[3] < 1e-6  # a true map puts nobody far from all


# --- the benchmark of tools/error_places.py ---------------------------------------------------------------------------
def benchmark(folder: Path, world: Path, **damage: Any) -> Path:
    """The files that a benchmark of the bundled SE+FD on one seed would leave; `damage` is done to results.json."""
    run = folder / "seed_3/se+fd"
    run.mkdir(parents=True)
    shutil.copy(model("se+fd"), run / "model.safetensors")
    made = {"se+fd": {"weights_sha256": weights_digest(model("se+fd"))}}
    (folder / "cells.jsonl").write_text(json.dumps({"seed": 3, "method": "se+fd", "made_from": made}) + "\n")
    data = {"target_test": open_dataset(f"mini-target:{world}", "test").describe()}
    kept = {"seeds": [3], "data": data} | damage
    (folder / "results.json").write_text(json.dumps({key: value for key, value in kept.items() if value != "none"}))
    return folder


def measured(folder: Path, world: Path, method: str = "se+fd") -> str:
    return error_places.table(folder, f"mini-target:{world}", None, {method: "SE+FD"})


def test_the_models_of_a_benchmark_are_measured_and_no_others(tmp_path: Path, mini_world: Path) -> None:
    folder = benchmark(tmp_path, mini_world)
    said, written = measured(folder, mini_world), (folder / "error_places.json").read_bytes()
    true = sum(len(one.points) for one in open_dataset(f"mini-target:{mini_world}", "test")) / 2
    assert sum(json.loads(written)["methods"]["se+fd"]["true"]) == pytest.approx(true, abs=0.02)
    assert said.splitlines()[3].startswith("| SE+FD ")
    shutil.copy(model("noadapt"), folder / "seed_3/se+fd/model.safetensors")
    with pytest.raises(InputError, match=r"model\.safetensors is not the model that the benchmark measured"):
        measured(folder, mini_world)
    with pytest.raises(InputError, match=r"cells\.jsonl has no fd on seed 3"):
        measured(folder, mini_world, "fd")
    assert (folder / "error_places.json").read_bytes() == written


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        *(({"data": value}, "was measured on other images") for value in ([], None, {}, "none")),
        *(({"seeds": value}, "names no seeds") for value in ([], "3", ["3"], None, "none")),
        ({"seeds": [7]}, "has no se.fd on seed 7"),
    ],
)
def test_what_is_no_benchmark_is_refused_in_a_line(
    damage: dict[str, Any], says: str, tmp_path: Path, mini_world: Path
) -> None:
    with pytest.raises(InputError, match=says):
        measured(benchmark(tmp_path, mini_world, **damage), mini_world)
