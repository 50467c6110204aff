"""The model card: a checkpoint says what it is, evaluations add their figures once, and all of it can be read."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sdcda_tutorial.cli import main
from sdcda_tutorial.datasets import CrowdDataset, open_dataset
from sdcda_tutorial.datasets.batches import Augmentation
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation import comparison, model_card
from sdcda_tutorial.guards.provenance import difference
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.config import AdaptationConfig
from sdcda_tutorial.training.counter_training import adapt
from sdcda_tutorial.training.hardware import Hardware

CONFIG = AdaptationConfig(
    weights=LossWeights(0.3, 0.2, 0.0),
    steps=2,
    batch_size=2,
    source=Augmentation((32, 32)),
    target=Augmentation((32, 32)),
    stride=8,
    width=1 / 32,
    validate_every=1,
    seed=7,
)
STORED = sorted((Path(__file__).parents[2] / "data/checkpoints").glob("*.safetensors"))


@pytest.fixture(scope="module")
def trained(
    source: CrowdDataset, target: CrowdDataset, pseudo_masks: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("card") / "run"
    hardware = Hardware(accelerator="cpu", precision="32-true", workers=0)
    return adapt(source, target, CONFIG, folder, pseudo_masks=pseudo_masks, hardware=hardware)


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    """A run's model that a test may change."""
    return Path(shutil.copytree(trained.parent, tmp_path / "run")) / trained.name


def evaluate(capsys: pytest.CaptureFixture[str], *models: Path, world: Path, split: str = "test") -> str:
    """What the command prints; its files are beside the world's folder."""
    capsys.readouterr()
    named = [word for path in models for word in ("--checkpoint", str(path))]
    with pytest.raises(SystemExit) as leaving:
        main(["evaluate", *named, "--target", f"mini-target:{world}", "--split", split, "--out", f"{world}-figures"])
    printed = capsys.readouterr()
    assert leaving.value.code == 0, printed.err
    return printed.out


def lines(text: str, label: str) -> list[str]:
    return re.findall(rf"^  {label} +(.*)$", text, flags=re.M)


def test_a_trained_model_says_on_what_how_and_when(trained: Path, source: CrowdDataset, target: CrowdDataset) -> None:
    card, text = checkpoints.read_card(trained), model_card.text(trained)
    assert text.startswith(f"model card of {trained} (weights {checkpoints.weights_digest(trained)})\n")
    data = [dataset.describe(labelled=dataset is source)["contents_sha256"] for dataset in (source, target)]
    assert lines(text, "source") == [f"mini world, 8 images (contents {data[0]})"]
    masks = card["config"]["pseudo_masks"]
    assert lines(text, "target") == [f"mini world, 6 images (contents {data[1]}); pseudo-masks {masks}"]
    (training,) = lines(text, "training")
    assert training.startswith("λs 0.3, λt 0.2, λd 0; 2 steps, batches of 2, ")
    assert training.endswith(", seed 7, from random weights")
    error, step = card["chosen"]["validation"], card["chosen"]["step"]
    assert lines(text, "chosen") == [f"step {step}: MAE {error:.2f} on held-out source images"]
    assert lines(text, "measured") == []
    (made,) = lines(text, "made")
    assert made.startswith(card["date"]) and f"torch {torch.__version__.partition('+')[0]}" in made
    assert {"python", "numpy", "torchvision", "lightning-fabric"} < card["versions"].keys()


@pytest.mark.slow
def test_an_evaluation_is_added_to_the_card_once(
    model: Path, mini_world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, weights = checkpoints.load(model), checkpoints.weights_digest(model)
    evaluate(capsys, model, world=mini_world)
    printed = evaluate(capsys, model, model, world=mini_world)
    assert model_card.text(model) in printed and len(lines(printed, "measured")) == 2  # two cards, a line in each
    totals = json.loads((Path(f"{mini_world}-figures") / "run.json").read_text())["totals"]
    (test,) = checkpoints.read_card(model)["tests"]
    assert totals.items() <= test.items() and test["split"] == "test" and test["data"]["format"] == "ShanghaiTech"
    assert lines(printed, "measured")[0].startswith(f"MAE {totals['mae']:.2f}, MSE {totals['mse']:.2f}, ")

    evaluate(capsys, model, world=mini_world, split="train")
    assert [test["split"] for test in checkpoints.read_card(model)["tests"]] == ["test", "train"]
    tensors, card = checkpoints.load(model)
    assert {key: value for key, value in card.items() if key != "tests"} == before[1]
    assert tensors.keys() == before[0].keys() and all(torch.equal(tensors[key], before[0][key]) for key in tensors)
    assert checkpoints.weights_digest(model) == weights


@pytest.mark.slow
def test_a_model_that_is_nobodys_run_or_may_not_be_written_stays_as_it_is(
    model: Path,
    mini_world: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = Path(shutil.copy(model, tmp_path / "copy.safetensors"))
    before = model.read_bytes()
    # Not by the file's mode: root, as whom some test, may write everything.
    monkeypatch.setattr(model_card.os, "access", lambda path, mode: mode != os.W_OK or path != model.resolve())
    printed = evaluate(capsys, copy, model, world=mini_world)
    assert copy.read_bytes() == model.read_bytes() == before
    complaint = f"{model} is read-only: these figures are not in its card"
    assert [line for line in printed.splitlines() if "not in" in line] == [complaint]


def test_figures_are_those_of_the_model_that_they_name(
    model: Path, mini_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training saves its next best model while this one is read."""
    tensors, card = checkpoints.load(model)
    checkpoints.save(tmp_path / "next", {name: 1.1 * one for name, one in tensors.items()}, card)
    load, test = checkpoints.load_counter, open_dataset(f"mini-target:{mini_world}", "test")

    def slow(path: Path) -> Any:
        read = load(path)
        if (tmp_path / "next").exists():
            os.replace(tmp_path / "next", path)
        return read

    monkeypatch.setattr(checkpoints, "load_counter", slow)
    (found,) = comparison.compare([model], test, tmp_path / "out", "standard", {"split": "test"}).values()
    assert found.about["weights_sha256"] == checkpoints.weights_digest(model)
    expected = float(predict_density(load(model)[0], test[0].image).sum())
    assert found.rows[0].predicted == pytest.approx(expected, rel=1e-5)
    said = comparison.measured_card(model, found)
    assert said == model_card.text(model) and len(lines(said, "measured")) == 1
    checkpoints.save(model, tensors, card)  # and again
    assert comparison.measured_card(model, found).endswith("its card is not shown")


def test_links_to_an_earlier_evaluation_stay_links(model: Path, mini_world: Path, tmp_path: Path) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    test, names = open_dataset(f"mini-target:{mini_world}", "test"), ("run.json", "run.csv", "panel.png")
    comparison.compare([model], test, archive, "standard", {"split": "test"})
    before = {name: (archive / name).read_bytes() for name in names}
    out.mkdir()
    for name in names:
        (out / name).symlink_to(f"../archive/{name}")
    comparison.compare([model], test, out, "authors", {"split": "test"})
    assert all((out / name).is_symlink() for name in names) and len(list(out.iterdir())) == 3
    assert (archive / "run.json").read_bytes() != before["run.json"]
    (archive / "run.csv").write_text("my notes")
    with pytest.raises(InputError, match=r"run\.csv holds something else"):
        comparison.compare([model], test, out, "standard", {"split": "test"})


def test_a_card_commands_no_terminal(model: Path, tmp_path: Path) -> None:
    tensors, card = checkpoints.load(model)
    odd = tmp_path / "a\n\x1b[31mb.safetensors"
    checkpoints.save(odd, tensors, card | {"date": "\x1b[2J2000-01-01"})
    said = model_card.text(odd)
    assert len(said.splitlines()) == len(model_card.text(model).splitlines()) and "\x1b" not in said
    assert lines(said, "made")[0].startswith(r"'\x1b[2J2000")


def test_figures_of_a_model_that_was_trained_on_are_not_those_of_the_new_one(model: Path) -> None:
    before = model.read_bytes()
    said = model_card.add_test(model, "0" * 16, {"data": {}, "split": "test", "variant": "standard"})
    assert said is not None and said.startswith(f"{model} was trained on meanwhile: ")
    assert model.read_bytes() == before


def test_predict_prints_the_card_apart_from_the_counts(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (40, 32), "gray").save(tmp_path / "p.png")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["predict", str(tmp_path / "p.png"), "--checkpoint", str(model), "--out", str(tmp_path / "out")])
    out, err = capsys.readouterr()
    assert re.fullmatch(r".*p\.png: [\d.]+ people, .*p\.png\n", out)
    assert err.startswith(model_card.text(model) + "\nnote: ") and "trained on synthetic scenes only" in err


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_stored_model_shows_what_its_card_holds(path: Path) -> None:
    card, text = checkpoints.read_card(path), model_card.text(path)
    kept = [f"{card[name]['mae']:.2f}" for name in ("source_test", "target_test") if name in card]
    assert [line.partition(",")[0].removeprefix("MAE ") for line in lines(text, "measured")] == kept
    assert len(lines(text, "made")) == len(lines(text, "chosen")) == 1
    data = [line for label in ("source", "target") for line in lines(text, label) if line != "none"]
    assert all(line.startswith("mini world, ") for line in data)  # it has seen no image of a real set
    assert bool(data) == (path.stem != "segmenter")


def test_data_without_the_manifest_of_a_mini_world_are_what_their_format_says(
    source: CrowdDataset, mini_world: Path, tmp_path: Path
) -> None:
    """The same files elsewhere are the same data to a run; another program's manifest makes no mini world of them."""
    copy = tmp_path / "copy"
    shutil.copytree(mini_world / "source", copy / "source")
    assert model_card._data(source.describe()).startswith("mini world, 8 images (")
    for manifest in (None, "{", "[]", '{"generator": "another"}'):
        if manifest is not None:
            (copy / "manifest.json").write_text(manifest)
        there = open_dataset(f"mini-source:{copy}", "train").describe()
        assert model_card._data(there).startswith("GCC format, 8 images (")
        assert difference(source.describe(), there) is difference(there, source.describe()) is None


def test_a_card_without_anything_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    save_file({"w": torch.zeros(1)}, path, metadata={"card": json.dumps({"config": None, "tests": [{"mae": 1}]})})
    assert model_card.text(path) == f"model card of {path} (weights {checkpoints.weights_digest(path)})"


def test_a_figure_that_is_undefined_is_left_out(model: Path) -> None:
    data = {"format": "X", "images": 1, "names_sha256": "n", "size": [2, 3], "max_side": None}
    about = {"data": data, "split": "test", "variant": "standard", "date": "2000-01-01"}
    weights = checkpoints.weights_digest(model)
    figures = {"mae": 1.234, "mse": 2.0, "psnr": None, "ssim": 0.5, "game0": 1.234, "game1": 3.0, "background": 1.0}
    assert model_card.add_test(model, weights, {**about, **figures}) is None
    assert lines(model_card.text(model), "measured") == [
        "MAE 1.23, MSE 2.00, SSIM 0.500, GAME(1) 3.00 on test, X format, 1 images at 2x3 (names n), 2000-01-01"
    ]
    figures |= {"psnr": 20.0, "psnr_images": 1, "images": 2}
    assert model_card.add_test(model, weights, {**about, **figures}) is None
    (line,) = lines(model_card.text(model), "measured")
    assert ", PSNR 20.00, " in line and line.endswith(", 2000-01-01; PSNR over 1 of 2 images")
