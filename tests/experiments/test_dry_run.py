"""--dry-run: what the training would do and refuse, in two steps, and nothing left behind."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from sdcda_tutorial import losses, masks
from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.datasets.batches import Augmentation
from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.experiments import dry_run as module
from sdcda_tutorial.experiments.dry_run import Rehearsal, dry_run, duration, size
from sdcda_tutorial.experiments.pipeline import Experiment
from sdcda_tutorial.experiments.presets import PAPER, Preset
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.training.config import AdaptationConfig, SegmenterConfig
from sdcda_tutorial.training.hardware import Hardware
from sdcda_tutorial.training.loop import CHOOSE_FROM, Training
from sdcda_tutorial.training.saving import Records

pytestmark = pytest.mark.slow

CPU = Hardware(accelerator="cpu", precision="32-true")
CONFIG = AdaptationConfig(
    weights=LossWeights(0.3, 0.2, 0.1),
    steps=9,
    batch_size=2,
    source=Augmentation((128, 128)),
    target=Augmentation((128, 128)),
    stride=8,
    width=1 / 16,
    discriminator_width=1 / 16,
    holdout=0.25,  # two of eight
    validate_every=2,
)
PRESET = Preset(
    segmenter=SegmenterConfig(steps=7, batch_size=3, augmentation=Augmentation((64, 80)), stride=8, width=1 / 16),
    adaptation=CONFIG,
    warm_start=replace(CONFIG, weights=LossWeights(0, 0, 0), steps=5),
)


class Data(NamedTuple):
    source: CrowdDataset
    target: CrowdDataset
    third: CrowdDataset
    masks: Path


@pytest.fixture
def data(source: CrowdDataset, target: CrowdDataset, third: CrowdDataset, pseudo_masks: Path) -> Data:
    return Data(source, target, third, pseudo_masks)


def experiment(data: Data, folder: Path, **options: Any) -> Experiment:
    return Experiment(folder, PRESET, data.source, data.target, **{"boxes": data.third, "hardware": CPU, **options})


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The measurements behind the report."""
    seen: list[Any] = []

    class Seen(Rehearsal):
        def __init__(self, workers: int) -> None:
            super().__init__(workers)
            self.measured = seen

    monkeypatch.setattr(module, "Rehearsal", Seen)
    return seen


# --- what it does -----------------------------------------------------------------------------------------------------
def test_all_trainings_are_rehearsed_and_nothing_is_left(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: list[Any]
) -> None:
    sizes: dict[str, list[int]] = {"density_loss": [], "target_segmentation_loss": [], "discriminator_loss": []}
    shown = []
    for name, seen in sizes.items():
        original = getattr(losses, name)
        monkeypatch.setattr(losses, name, lambda *a, o=original, s=seen: (s.append(len(a[0])), o(*a))[1])
    loss = losses.target_segmentation_loss
    monkeypatch.setattr(losses, "target_segmentation_loss", lambda *a: (shown.append(a[1]), loss(*a))[1])
    report = dry_run(experiment(data, tmp_path / "runs" / "out"), "se+fd")
    assert sizes == {"density_loss": [2] * 4, "target_segmentation_loss": [2] * 2, "discriminator_loss": [2] * 2}
    assert not any(bool(mask.any()) for mask in shown)  # masks that are yet to be made: all background
    assert not list(tmp_path.iterdir())
    assert [(s.name, s.images, s.held_out, s.steps, s.batch_size, s.crop) for s in stages] == [
        ("mask model", 6, 0, 7, 3, (64, 80)),
        ("warm start", 6, 2, 5, 2, (128, 128)),
        ("se+fd", 6, 2, 9, 2, (128, 128)),
    ]
    assert all(len(s.step_times) == 2 and min(s.step_times) > 0 and s.loading > 0 for s in stages)
    assert "pseudo-masks: 6 of 6 do not exist yet" in report and "precision 32-true" in report
    assert "se+fd: 9 steps of 2 images per domain at 128x128, 3 epochs of 6 images, 2 held out" in report
    assert report.count("the first, a warm-up") == 3 and "\n\n" not in report


def test_what_it_foretells_is_what_the_training_leaves(data: Data, tmp_path: Path, stages: list[Any]) -> None:
    tried = experiment(data, tmp_path, masks=data.masks, records=Records(keep=2))
    dry_run(tried, "se+fd")
    tried.train("se+fd")
    found = {stage.name: stage for stage in stages}
    for name, folder in (("warm start", "warm_start"), ("se+fd", "se+fd")):
        for file, foretold in (("last", found[name].last), ("model", found[name].model)):
            on_disk = (tmp_path / folder / f"{file}.safetensors").stat().st_size
            assert foretold < on_disk < foretold + 60_000  # the header's names and card are not counted
    assert found["se+fd"].kept == 2 and len(list((tmp_path / "se+fd").glob("epoch_*"))) == 2
    log = (tmp_path / "se+fd" / "metrics.jsonl").read_text()
    assert log.count("validation") == found["se+fd"].validations == 3  # after steps 6, 8 and 9
    if os.name == "posix":
        assert 2**26 < found["se+fd"].memory < 2**36


def test_time_is_steps_and_loading_and_validation(stages: list[Any], data: Data, tmp_path: Path) -> None:
    dry_run(experiment(data, tmp_path), "noadapt")
    stage = replace(
        stages[-1], start=0, steps=1000, step_times=(60.0, 2.0), loading=3.0, validation=0.5, validations=6, held_out=40
    )  # fmt: skip
    assert replace(stage, workers=0).seconds == 1000 * (2 + 3) + 6 * 40 * 0.5
    assert replace(stage, workers=1).seconds == 1000 * 3 + 120  # the one worker does not keep up
    assert replace(stage, workers=4).seconds == 1000 * 2 + 120
    assert replace(stage, workers=4, start=900).seconds == 100 * 2 + 120
    assert (duration(12.4), duration(90), duration(3600 * 30 + 59)) == ("12 s", "2 min", "1 d 6 h 1 min")
    assert (duration(59.7), duration(3600), duration(7190)) == ("1 min", "1 h 0 min", "2 h 0 min")
    assert (size(999), size(2**20), size(1.5 * 2**30), size(1023 * 2**20)) == ("999 B", "1 MiB", "1.5 GiB", "0.999 GiB")
    whole = replace(stage, last=100, model=30, kept=3)
    assert whole.disk == 100 + 30 + 90 + 100  # one more of the largest while it is replaced


def test_validations_are_counted_by_their_rule() -> None:
    def validated(steps: int, every: int) -> list[int]:
        nothing: Any = None
        training = Training(nothing, nothing, nothing, steps, 1, nothing, "", validate_every=every)
        return [done for done in range(1, steps + 1) if training.validates(done)]

    assert validated(20, 4) == [12, 16, 20]
    assert validated(10, 7) == [7, 10] and CHOOSE_FROM == 0.5


def test_parts_that_are_done_are_not_rehearsed(data: Data, tmp_path: Path, stages: list[Any]) -> None:
    tried = experiment(data, tmp_path)
    tried.train("se+fd")
    before = content(tmp_path)
    report = dry_run(tried, "se")  # mask model, masks and warm start are there
    assert "do not exist yet" not in report and report.count("all steps are done already") == 2
    assert [stage.step_times == () for stage in stages] == [True, True, False] and stages[0].seconds == 0
    with pytest.raises(InputError, match="already holds a run"):
        dry_run(tried, "se+fd")
    assert "all steps are done already" in dry_run(tried, "se+fd", resume=True)
    with pytest.raises(InputError, match="was started with batch_size = 2, not 4"):
        other = replace(PRESET, adaptation=replace(CONFIG, batch_size=4))
        dry_run(replace(tried, preset=other), "se+fd", resume=True)
    assert content(tmp_path) == before


# --- what it refuses --------------------------------------------------------------------------------------------------
def spoil_mask(data: Data, folder: Path) -> dict[str, Any]:
    for name in data.target.names:
        masks.write_png(masks.path_of(folder / "masks", name), np.zeros((10, 20)))
    return {"masks": folder / "masks"}


def lose_mask(data: Data, folder: Path) -> dict[str, Any]:
    masks.path_of(folder / "masks", data.target.names[0]).parent.mkdir(parents=True)
    return {"masks": folder / "masks"}


def break_segmenter(data: Data, folder: Path) -> dict[str, Any]:
    (folder / "model.safetensors").write_bytes(b"half of a model")
    return {"segmenter": folder / "model.safetensors"}


@pytest.mark.parametrize(("damage", "says"), [
    (spoil_mask, "is 20x10 but its image is 256x192"),
    (lose_mask, "6 of 6 pseudo-masks are missing"),
    (break_segmenter, r"model\.safetensors is broken"),
    (lambda *_: {"boxes": None}, "name a data set with boxes"),
    (lambda *_: {"hardware": replace(CPU, accumulate=7)}, "lower `accumulate` or enlarge the batch"),
])  # fmt: skip
def test_it_refuses_what_the_training_would_refuse(
    damage: Callable[[Data, Path], dict[str, Any]], says: str, data: Data, tmp_path: Path
) -> None:
    options = damage(data, tmp_path)
    before = content(tmp_path)
    with pytest.raises(InputError, match=says) as caught:
        dry_run(experiment(data, tmp_path / "out", **options), "se+fd")
    assert "\n" not in str(caught.value) and content(tmp_path) == before and not (tmp_path / "out").exists()


def test_pretrained_weights_that_are_missing_show_in_the_dry_run(data: Data, tmp_path: Path) -> None:
    crop = Augmentation((256, 256))
    paper = replace(PAPER, adaptation=replace(PAPER.adaptation, source=crop, target=crop))
    tried = Experiment(
        tmp_path / "out", paper, data.source, data.target, vgg_weights=tmp_path / "vgg.pth", hardware=CPU
    )  # fmt: skip
    with pytest.raises(InputError, match=r"vgg\.pth.*vgg16_bn-6c64b313\.pth.*`vgg_weights`.*`random_weights`"):
        dry_run(tried, "noadapt")


@pytest.mark.parametrize(("how", "says"), [
    (lambda loss: loss * torch.nan, "density loss is not finite in the dry run"),
    (lambda loss: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError()), r"GPU's memory is too small .*`accumulate` 2"),
])  # fmt: skip
def test_steps_that_fail_are_one_line(
    how: Callable[[torch.Tensor], torch.Tensor], says: str, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    density_loss = losses.density_loss
    monkeypatch.setattr(losses, "density_loss", lambda *a: how(density_loss(*a)))
    with pytest.raises(TrainingStopped, match=says) as caught:
        dry_run(experiment(data, tmp_path / "out"), "noadapt")
    assert not re.search(r"\n", str(caught.value)) and not list(tmp_path.iterdir())


def test_a_disk_that_is_too_small_is_said(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    assert "more than is free: make room" in dry_run(experiment(data, tmp_path / "a" / "b"), "noadapt")
