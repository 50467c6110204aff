"""Variants of a method: their names, what they change and nothing else, and the masks of the controls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import files, ran, refused, small_home

from sdcda_tutorial import masks
from sdcda_tutorial.datasets import open_dataset
from sdcda_tutorial.datasets.batches import crowd_mask
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.experiments.benchmark_rows import GROUPS, parse, titles
from sdcda_tutorial.experiments.cell_records import read_cells
from sdcda_tutorial.experiments.control_masks import GROWTH, MASKS, write_control_masks
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.experiments.statistics import baseline
from sdcda_tutorial.files import folder_digest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to work in."""
    with small_home(tmp_path_factory.mktemp("home")) as folder:
        ran("data", "mini")
        yield folder


# --- names ------------------------------------------------------------------------------------------------------------
def test_a_variant_changes_what_it_names() -> None:
    on = MINI.method("se+fd")
    changed = parse("se+fd@lambda_d=1e-4@lambda_s=0").config(MINI)
    weights = changed.weights
    assert (weights.seg_source, weights.seg_target, weights.adversarial) == (0, on.weights.seg_target, 1e-4)
    assert {k: v for k, v in vars(changed).items() if k != "weights"} == {
        k: v for k, v in vars(on).items() if k != "weights"
    }
    moved = parse("se+fd@D=mask@eq9=entropy").config(MINI)
    assert (moved.discriminator_sees, moved.target_loss, moved.weights) == ("mask", "entropy", on.weights)
    assert parse("se+fd").config(MINI) == on and parse("se").config(MINI) == MINI.method("se")
    assert parse("se").masks is None and parse("se@masks=none").masks == "none"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cyclegan@lambda_d=1e-4", "nothing to vary in cyclegan"),  # it would train something else than its name says
        ("noadapt@lambda_d=1e-4", "nothing to vary in noadapt"),
        ("noadapt-early@lambda_s=1", "nothing to vary in noadapt-early"),
        ("fd@masks=none", "no use for masks"),
        ("se@lambda_t=0@masks=none", "no use for masks"),
        ("se@D=mask", "no D that could look"),
        ("se+fd@D=density@lambda_d=0", "no D that could look"),
        ("fd@D=mask", "no S whose mask"),
        ("se+fd@D=mask@lambda_s=0@lambda_t=0", "no S whose mask"),
        ("fd@eq9=entropy", "no use for Eq. 9"),
        ("se@eq9=entropy@lambda_t=0", "no use for Eq. 9"),
        ("se@masks=none@masks=perfect", "sets masks twice"),
    ],
)
def test_what_would_be_called_by_a_wrong_name_is_refused(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        titles([name])


@pytest.mark.parametrize(
    "name",
    [
        "se@lambda_d=1_0",
        "se@lambda_d= 1",
        "se@",
        "se@masks",
        "se@masks=best",
        "se+fd@D=image",
        "se@eq9=8",
        "se@lambda_d=-1",
        "se@lambda_d=much",
        "se@lambda_x=1",
        "se@lambda_d=nan",
    ],
)
def test_what_changes_nothing_that_there_is_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="a variant is METHOD@SETTING=VALUE"):
        parse(name)


def test_titles() -> None:
    named = titles(["se", "se@masks=perfect", "sfcn-se+fd@lambda_d=1e-4@lambda_t=0"])
    assert list(named.values()) == ["SE", "SE, masks perfect", "SFCN, SE+FD, lambda_d 1e-4, lambda_t 0"]
    with pytest.raises(InputError, match="unknown method 'sse@masks=perfect'; known are"):
        titles(["sse@masks=perfect"])
    for group in GROUPS.values():
        assert len(titles(group)) == len(group)


def test_a_variant_is_compared_with_its_method() -> None:
    assert [baseline(name) for name in ("se@masks=none", "sfcn-se+fd@lambda_d=1", "sfcn-se")] == [
        "se", "sfcn-se+fd", "sfcn-noadapt",
    ]  # fmt: skip


# --- masks ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def predicted(tmp_path: Path) -> Path:
    """Four predicted masks, each a square at a place of its own."""
    target = open_dataset("mini-target:data/mini", "train")
    assert len(target) == 4
    for index, name in enumerate(target.names):
        mask = np.zeros((96, 112), dtype=np.uint8)
        mask[10 + 15 * index : 20 + 15 * index, 40:50] = 1
        masks.write_png(masks.path_of(tmp_path / "predicted", name), mask)
    return tmp_path / "predicted"


def control(kind: str, predicted: Path) -> list[np.ndarray]:
    target = open_dataset("mini-target:data/mini", "train")
    folder = write_control_masks(kind, target, predicted, predicted.parent / kind)
    return [masks.read_png(masks.path_of(folder, name)) for name in target.names]


def test_dilated_masks_reach_eight_pixels_further(predicted: Path) -> None:
    for index, mask in enumerate(control("dilated", predicted)):
        rows, columns = np.nonzero(mask)
        top = max(0, 10 + 15 * index - GROWTH)
        assert (rows.min(), rows.max()) == (top, 19 + 15 * index + GROWTH) and mask.sum() == (
            19 + 15 * index + 8 - top + 1
        ) * 26
        assert (columns.min(), columns.max()) == (40 - GROWTH, 49 + GROWTH)


def test_shuffled_masks_are_those_of_other_images(predicted: Path) -> None:
    tops = [int(np.nonzero(mask)[0].min()) for mask in control("shuffled", predicted)]
    assert tops == [40, 55, 10, 25]  # two further on, around the end


def test_perfect_masks_are_around_the_true_heads_and_none_is_all_background(predicted: Path) -> None:
    target = open_dataset("mini-target:data/mini", "train")
    for index, mask in enumerate(control("perfect", predicted)):
        assert np.array_equal(mask, crowd_mask(target[index]))
        x, y = target[index].points.astype(int).T
        assert mask[y, x].all()
    assert not any(mask.any() for mask in control("none", predicted))


@pytest.mark.parametrize("kind", [kind for kind in MASKS if kind != "perfect"])
def test_other_controls_do_not_read_the_targets_labels(
    kind: str, predicted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sdcda_tutorial.datasets import ShanghaiTech

    def read(*_: object) -> None:
        raise AssertionError("labels were read")

    monkeypatch.setattr(ShanghaiTech, "_labels", read)
    assert len(control(kind, predicted)) == 4
    with pytest.raises(AssertionError, match="labels were read"):
        control("perfect", predicted)


def test_masks_of_a_control_are_made_once_and_of_one_origin(predicted: Path) -> None:
    control("dilated", predicted)
    folder = predicted.parent / "dilated"
    before = files(folder)
    control("dilated", predicted)
    assert files(folder) == before
    assert json.loads((folder / "provenance.json").read_text())["predicted"] == folder_digest(predicted)
    target = open_dataset("mini-target:data/mini", "train")
    with pytest.raises(InputError, match="holds masks made with"):
        write_control_masks("shuffled", target, predicted, folder)
    (predicted.parent / "mine").mkdir()
    (predicted.parent / "mine/notes.png").write_text("mine")
    with pytest.raises(InputError, match="holds something else than masks"):
        write_control_masks("none", target, predicted, predicted.parent / "mine")
    with pytest.raises(InputError, match="no other image"):
        write_control_masks("shuffled", target.subset([0]), predicted, predicted.parent / "one")


# --- the command ------------------------------------------------------------------------------------------------------
def test_a_benchmark_of_variants(tmp_path: Path) -> None:
    methods = "se,se@masks=perfect,se@masks=none,se@lambda_t=0.1,se@eq9=entropy,fd@D=density"
    printed = ran("benchmark", "--seeds", 3, "--methods", methods, "--out", tmp_path)
    assert "| SE, masks perfect " in printed and "seed 3: SE, lambda_t 0.1" in printed
    stored = json.loads((tmp_path / "results.json").read_text())
    assert {method: one["against"] for method, one in stored["differences"].items()} == {
        "se@masks=perfect": "se", "se@masks=none": "se", "se@lambda_t=0.1": "se", "se@eq9=entropy": "se",
    }  # fmt: skip
    configs = {
        name: json.loads((tmp_path / "seed_3" / name / "config.json").read_text()) for name in methods.split(",")
    }
    assert configs["se@lambda_t=0.1"]["weights"]["seg_target"] == 0.1
    assert "| SE, Eq. 9 as entropy " in printed and configs["se@eq9=entropy"]["target_loss"] == "entropy"
    assert configs["fd@D=density"]["discriminator_sees"] == "density"
    own = tmp_path / "seed_3"
    used = {name: config["pseudo_masks"] for name, config in configs.items()}
    assert used["se"] == used["se@lambda_t=0.1"] == folder_digest(own / "masks")
    assert used["se@masks=perfect"] == folder_digest(own / "masks-perfect") != used["se@masks=none"]
    assert stored["alignment"]["3"].keys() == set(methods.split(","))
    cells = {cell["method"]: cell["made_from"].keys() for cell in read_cells(tmp_path / "cells.jsonl")}
    assert cells["se@masks=none"] == {"se@masks=none", "warm_start", "segmenter"}  # whose masks it was made from
    assert ran("benchmark", "--seeds", 3, "--methods", methods, "--out", tmp_path) == printed


def test_a_variant_that_makes_no_sense_is_refused_before_any_training(tmp_path: Path) -> None:
    out = tmp_path / "new"
    assert "'se@masks=best' changes 'masks=best'" in refused("benchmark", "--methods", "se@masks=best", "--out", out)
    assert not out.exists()
