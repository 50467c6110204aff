"""The training: Eq. 5 as written, no look at the target's labels, and no way to lose or change a run by killing it."""

from __future__ import annotations

import copy
import itertools
import json
import math
import os
import random
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from tqdm import tqdm

from sdcda_tutorial import losses, masks
from sdcda_tutorial.datasets import CrowdDataset, Sample, open_dataset
from sdcda_tutorial.datasets.batches import Augmentation, Batches, DensityKernel
from sdcda_tutorial.datasets.crowd_dataset import Entry
from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.experiments.pipeline import Experiment
from sdcda_tutorial.experiments.presets import METHODS, MINI, PAPER, PHOTOS, PRESETS, Preset
from sdcda_tutorial.files import folder_digest
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.mini_world import MiniWorldSettings
from sdcda_tutorial.networks import COUNTERS, CrowdCounter, DensityEstimator
from sdcda_tutorial.rivals.translation import TranslationConfig, train_translation
from sdcda_tutorial.training import checkpoints, loop
from sdcda_tutorial.training import counter_training as adaptation
from sdcda_tutorial.training import mask_model as mask_model_module
from sdcda_tutorial.training.checkpoints import save_file
from sdcda_tutorial.training.config import AdaptationConfig
from sdcda_tutorial.training.counter_training import adapt, split_source
from sdcda_tutorial.training.hardware import Hardware
from sdcda_tutorial.training.loop import Training
from sdcda_tutorial.training.mask_model import PROVENANCE, SegmenterConfig, train_segmenter, write_pseudo_masks
from sdcda_tutorial.training.saving import Records, RunFolder

pytestmark = pytest.mark.slow

CPU = Hardware(accelerator="cpu", precision="32-true", workers=0)
# All that a resumed run could forget is on: every λ, decay, jitter, dropout (in S), schedule, average, validation.
SE_FD = AdaptationConfig(
    weights=LossWeights(0.3, 0.2, 0.1),
    steps=6,
    batch_size=2,
    source=Augmentation((128, 128), jitter=0.2),  # D needs 16 features a side
    target=Augmentation((128, 128)),
    kernel=DensityKernel(sigma=2.0),
    stride=8,
    width=1 / 16,
    label_factor=10.0,
    learning_rate=1e-3,
    schedule="polynomial",
    weight_decay=1e-2,
    discriminator_rate=1e-3,
    discriminator_width=1 / 16,
    average=0.5,
    holdout=0.25,
    validate_every=2,
    seed=3,
)
SEGMENTER = SegmenterConfig(
    steps=6,
    batch_size=2,
    augmentation=Augmentation((64, 80), scale=(0.3, 0.7), jitter=0.2),
    stride=8,
    width=1 / 16,
    learning_rate=1e-3,
    save_every=2,
    seed=3,
)
PRESET = Preset(segmenter=SEGMENTER, adaptation=SE_FD, warm_start=None)
LAST, MODEL, CONFIG, LOG = "last.safetensors", "model.safetensors", "config.json", "metrics.jsonl"

posix = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")


class Data(NamedTuple):
    source: CrowdDataset
    target: CrowdDataset
    third: CrowdDataset
    masks: Path


@pytest.fixture(scope="module")
def data(source: CrowdDataset, target: CrowdDataset, third: CrowdDataset, pseudo_masks: Path) -> Data:
    return Data(source, target, third, pseudo_masks)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """One thread, so that forked processes compute as this one does, and every step in the log."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", 1)
        patch.setattr(tqdm, "monitor_interval", 0)  # no thread of tqdm's that a fork could tear apart
        yield
    torch.set_num_threads(threads)


def train(kind: str, data: Data, folder: Path, *, resume: bool = False, **changes: Any) -> Path:
    """Train the segmenter or one of the methods, at its smallest."""
    if kind == "segmenter":
        return train_segmenter(data.third, replace(SEGMENTER, **changes), folder, hardware=CPU, resume=resume)
    config = replace(PRESET.method(kind), **changes)
    return adapt(data.source, data.target, config, folder, pseudo_masks=data.masks, hardware=CPU, resume=resume)


class Unbroken(NamedTuple):
    folder: Path
    seconds: float


@pytest.fixture(scope="module")
def unbroken(data: Data, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Unbroken]:
    """Runs that nobody disturbed: SE+FD and the mask model."""
    found = {}
    for kind in ("se+fd", "segmenter"):
        folder, began = tmp_path_factory.mktemp("unbroken") / kind, time.perf_counter()
        assert train(kind, data, folder) == folder / MODEL
        found[kind] = Unbroken(folder, time.perf_counter() - began)
    return found


def tensors_of(path: Path) -> dict[str, Tensor]:
    return checkpoints.load(path)[0]


def differing(a: Path, b: Path) -> list[str]:
    """Names of the tensors in two checkpoints that are not the same bits."""
    ours, theirs = tensors_of(a), tensors_of(b)
    assert ours.keys() == theirs.keys()
    return [k for k in ours if ours[k].dtype != theirs[k].dtype or not torch.equal(ours[k], theirs[k])]


def assert_same_run(folder: Path, reference: Path) -> None:
    """Weights, moments of the optimisers, chosen model, log and options, all bit for bit; only the time may differ."""
    assert not differing(folder / LAST, reference / LAST)
    cards = [checkpoints.load(f / LAST)[1] for f in (folder, reference)]
    for card in cards:
        del card["state"]["seconds"]
    assert cards[0] == cards[1]
    assert not differing(folder / MODEL, reference / MODEL)
    cards = [checkpoints.read_card(f / MODEL) for f in (folder, reference)]
    for card in cards:
        assert len(card.pop("date")) == 10 and card.pop("seconds") >= 0
    assert cards[0] == cards[1]
    assert not list(folder.rglob(".*"))  # neither a lock nor what a killed writer left
    for name in (LOG, CONFIG):
        assert (folder / name).read_bytes() == (reference / name).read_bytes(), name


def prepare(
    config: AdaptationConfig, data: Data, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[RunFolder, Callable[[int], dict[str, Tensor]]]:
    """The run that `adapt` sets up and its step function, before the first step."""
    caught: dict[str, Any] = {}

    def catch(self: Training, resume: bool) -> Path:
        batches = self.batches(self.run.begin(resume))
        caught.update(run=self.run, step=lambda number: self.step(*next(batches)))
        return self.run.model_path

    with monkeypatch.context() as patch:
        patch.setattr(Training, "finish", catch)
        adapt(data.source, data.target, config, folder, **{"pseudo_masks": data.masks, "hardware": CPU, **options})
    return caught["run"], caught["step"]


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("this should not have been touched")


def without_labels(dataset: CrowdDataset) -> CrowdDataset:
    """The data set, but whoever looks at a label fails."""
    blind = dataset.subset(range(len(dataset)))
    blind.__class__ = type("Blind", (type(dataset),), {"__getitem__": refuse, "_labels": refuse, "_load": refuse})
    return blind


# --- Eq. 5 ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("place", "reading"), [("features", "background"), ("mask", "background"), ("density", "entropy")]
)
def test_one_step_is_the_gradient_of_eq_5(
    place: Any, reading: Any, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # λd large, so that a missing adversarial gradient would show beside the others.
    config = replace(SE_FD, weights=LossWeights(0.3, 0.2, 2.0), discriminator_sees=place, target_loss=reading)
    run, step = prepare(config, data, tmp_path, monkeypatch)
    trained = {"counter": run.modules["networks"].counter, "S": run.modules["networks"].S, "D": run.modules["D"]}
    counter, S, D = (copy.deepcopy(module) for module in trained.values())
    parts = {name: list(module.parameters()) for name, module in trained.items()}

    def gradients() -> dict[str, list[Tensor | None]]:
        return {name: [None if p.grad is None else p.grad.clone() for p in ps] for name, ps in parts.items()}

    moments: list[dict[str, list[Tensor | None]]] = []
    for name in ("networks", "D"):
        run.optimizers[name].optimizer.register_step_pre_hook(lambda *_: moments.append(gradients()))  # type: ignore[attr-defined]
    torch.manual_seed(7)
    terms = step(0)
    before_networks, before_D = moments  # E, C and S move first, then D, once each

    # The same by hand, from the paper's formulas.
    common = {"batch_size": 2, "seed": config.seed}
    trained_on, _ = split_source(data.source, config)
    xs = Batches(trained_on, augmentation=config.source, stream=0, kernel=config.kernel, **common)[0]  # type: ignore[arg-type]
    labelled = [replace(s, mask=masks.read_png(masks.path_of(data.masks, s.name))) for s in data.target]
    xt = Batches(labelled, augmentation=config.target, stream=1, **common)[0]  # type: ignore[arg-type]
    torch.manual_seed(7)
    f = counter.E(torch.cat([xs["image"], xt["image"]]))
    y_hat, z_hat = counter.C(f if place == "density" else f[:2]), S(f).sigmoid()
    zs_hat, zt_hat, zs, zt = z_hat[:2], z_hat[2:], xs["mask"], xt["mask"]
    seen = {"features": f, "mask": z_hat, "density": y_hat}[place]
    fs, ft = seen[:2], seen[2:]
    of_target = {
        "background": (1 - zt_hat).log(),
        "entropy": zt_hat * zt_hat.log() + (1 - zt_hat) * (1 - zt_hat).log(),
    }
    by_hand = {
        "density": ((y_hat[:2] - 10.0 * xs["density"]) ** 2).mean() / 2,
        "seg_source": -(zs * zs_hat.log() + (1 - zs) * (1 - zs_hat).log()).mean(),
        "seg_target": -((1 - zt) * of_target[reading]).mean(),
        "adversarial": -D(ft).sigmoid().log().mean(),
    }
    weights = {"density": 1.0, "seg_source": 0.3, "seg_target": 0.2, "adversarial": 2.0}
    wanted = {name: list(module.parameters()) for name, module in (("counter", counter), ("S", S))}
    flat = [p for ps in wanted.values() for p in ps]
    each = {
        name: torch.autograd.grad(weights[name] * by_hand[name], flat, retain_graph=True, allow_unused=True)
        for name in by_hand
    }
    ours = before_networks["counter"] + before_networks["S"]
    largest = max(float(p.norm()) for p in ours if p is not None)
    for index, gradient in enumerate(ours):
        terms_here = [g[index] for g in each.values() if g[index] is not None]
        expected = torch.stack(terms_here).sum(dim=0)
        assert gradient is not None
        assert float((gradient - expected).norm()) < 1e-3 * float(expected.norm()) + 1e-5 * largest
    for name, value in by_hand.items():
        assert float(terms[name].detach()) == pytest.approx(float(value.detach()), rel=1e-4)
        # Were a term's way to E cut, this comparison would see it.
        assert max(float(g.norm()) for g in each[name] if g is not None) > 0.01 * largest, name

    assert before_networks["D"] == [None] * len(parts["D"])  # D is a frozen judge in the first half
    for name in ("counter", "S"):  # and E learns nothing from the second
        for a, b in zip(before_networks[name], before_D[name], strict=True):
            assert a is not None and b is not None and torch.equal(a, b)
    ps, pt = D(fs.detach()).sigmoid(), D(ft.detach()).sigmoid()  # source is 1, target is 0
    loss = -(ps.log().mean() + (1 - pt).log().mean()) / 2
    assert float(terms["discriminator"].detach()) == pytest.approx(float(loss.detach()), rel=1e-4)
    assert float(terms["D_accuracy"]) == pytest.approx(float((ps > 0.5).float().mean() + (pt < 0.5).float().mean()) / 2)
    for gradient, expected in zip(before_D["D"], torch.autograd.grad(loss, list(D.parameters())), strict=True):
        assert gradient is not None and float((gradient - expected).norm()) < 1e-3 * float(expected.norm()) + 1e-8


def test_learning_rates_reach_the_optimisers(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = losses.density_loss

    def look(pred: Tensor, truth: Tensor) -> Tensor:
        run = caught[0]
        seen.append({name: o.param_groups[0]["lr"] for name, o in run.optimizers.items()})
        return original(pred, truth)

    caught: list[RunFolder] = []
    begin = RunFolder.begin
    monkeypatch.setattr(RunFolder, "begin", lambda self, resume: (caught.append(self), begin(self, resume))[1])
    monkeypatch.setattr(losses, "density_loss", look)
    train("fd", data, tmp_path, steps=4, discriminator_rate=2e-3)
    assert [s["networks"] for s in seen] == pytest.approx([1e-3 * (1 - i / 4) ** 0.9 for i in range(4)])
    assert [s["D"] for s in seen] == pytest.approx([2e-3 * (1 - i / 4) ** 0.9 for i in range(4)])
    epochs = replace(SE_FD, schedule="epochs")  # batches of 2: 3 steps an epoch
    assert epochs.rates(2, 100, images=6) == {"networks": 1e-3, "D": 1e-3}
    assert epochs.rates(7, 100, images=6)["networks"] == pytest.approx(1e-3 * 0.995**2)


# --- λ = 0 ------------------------------------------------------------------------------------------------------------
PARTS = {"noadapt": {"counter"}, "se": {"counter", "S"}, "fd": {"counter", "D"}, "se+fd": {"counter", "S", "D"}}


def test_a_training_leaves_arithmetic_and_random_numbers_of_its_caller_alone(data: Data, tmp_path: Path) -> None:
    assert sys.float_info.min / 2 > 0
    numbers = torch.get_rng_state()
    adapt(data.source, None, replace(SE_FD, weights=LossWeights(0, 0, 0), steps=1), tmp_path / "run", hardware=CPU)
    with pytest.raises(InputError):
        adapt(data.source, None, SE_FD, tmp_path / "other", hardware=CPU)  # no target
    assert sys.float_info.min / 2 > 0
    assert torch.equal(torch.get_rng_state(), numbers)


@pytest.mark.parametrize("method", METHODS)
def test_lambda_zero_builds_no_part(method: str, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "S" not in PARTS[method]:
        monkeypatch.setattr(adaptation, "SemanticExtractor", refuse)
    if "D" not in PARTS[method]:
        monkeypatch.setattr(adaptation, "FeatureDiscriminator", refuse)
    needs_masks = "S" in PARTS[method]
    options = {} if needs_masks else {"pseudo_masks": None}
    run, step = prepare(PRESET.method(method), data, tmp_path, monkeypatch, **options)
    assert set(run.deployed) == PARTS[method]
    assert set(run.modules) == {"networks", "average"} | (PARTS[method] & {"D"})
    assert set(run.optimizers) == {"networks"} | (PARTS[method] & {"D"})
    inside = {id(p) for name, module in run.modules.items() if name != "average" for p in module.parameters()}
    moved = {id(p) for o in run.optimizers.values() for group in o.param_groups for p in group["params"]}
    assert moved == inside  # and nothing else learns in secret
    terms = {"counter": {"density"}, "S": {"seg_source", "seg_target"}}
    terms["D"] = {"adversarial", "discriminator", "D_accuracy"}
    assert set(step(0)) == set().union(*(terms[part] for part in PARTS[method]))


def test_no_adaptation_never_touches_the_target(data: Data, tmp_path: Path) -> None:
    nowhere = Entry("nothing", tmp_path / "nowhere.jpg")
    members = {name: refuse for name in ("read_image", "__getitem__", "_labels", "__len__")}
    members["__init__"] = lambda self: None
    untouchable = type("Untouchable", (CrowdDataset,), {**members, "names": property(refuse)})()
    untouchable._entries = [nowhere]
    config = replace(PRESET.method("noadapt"), steps=2)
    absent = tmp_path / "absent"
    adapt(data.source, untouchable, config, tmp_path / "a", pseudo_masks=absent, hardware=CPU)
    adapt(data.source, None, config, tmp_path / "b", hardware=CPU)
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_methods_begin_with_the_same_weights(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(method: str, **changes: Any) -> dict[str, dict[str, Tensor]]:
        config = replace(PRESET.method(method), **changes)
        run, _ = prepare(config, data, tmp_path / f"{method}{changes}", monkeypatch)
        return {name: module.state_dict() for name, module in run.deployed.items()}

    def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
        return all(torch.equal(a[k], b[k]) for k in a)

    states = {method: begin(method) for method in METHODS}
    assert all(same(state["counter"], states["noadapt"]["counter"]) for state in states.values())
    assert same(states["se"]["S"], states["se+fd"]["S"])
    assert not same(begin("noadapt", seed=4)["counter"], states["noadapt"]["counter"])


def test_what_the_controls_need(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sourceonly = replace(SE_FD, weights=LossWeights(0.3, 0, 0))
    run, step = prepare(sourceonly, data._replace(target=None), tmp_path / "s", monkeypatch, pseudo_masks=None)  # type: ignore[arg-type]
    assert set(step(0)) == {"density", "seg_source"} and set(run.deployed) == {"counter", "S"}
    statistics = replace(SE_FD, weights=LossWeights(0, 0, 0), target_batch_norm=True)
    run, step = prepare(statistics, data, tmp_path / "bn", monkeypatch, pseudo_masks=None)
    assert set(step(0)) == {"density"} and set(run.deployed) == {"counter"}
    alone, its_step = prepare(replace(statistics, target_batch_norm=False), data, tmp_path / "no", monkeypatch)
    its_step(0)
    mean = [r.deployed["counter"].state_dict()["E.features.1.running_mean"] for r in (run, alone)]
    assert not torch.equal(*mean)


@pytest.mark.parametrize(("method", "left_out", "message"), [
    ("fd", "target", "no target was given"),
    ("se", "target", "no target was given"),
    ("se", "masks", "λt > 0 needs pseudo-masks"),
])  # fmt: skip
def test_what_a_method_needs_is_asked_for_first(
    method: str, left_out: str, message: str, data: Data, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        train(method, data._replace(**{left_out: None}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- the target's labels ----------------------------------------------------------------------------------------------
def test_the_targets_labels_are_never_read(
    data: Data, mini_world: Path, tmp_path: Path, unbroken: dict[str, Unbroken]
) -> None:
    world = tmp_path / "world"
    shutil.copytree(mini_world / "target", world / "target")
    annotations = list(world.rglob("*.mat"))
    assert annotations
    for path in annotations:
        path.write_bytes(b"no labels here")
    for number, target in enumerate([open_dataset(f"mini-target:{world}", "train"), without_labels(data.target)]):
        train("se+fd", data._replace(target=target), tmp_path / str(number))
        assert not differing(tmp_path / str(number) / LAST, unbroken["se+fd"].folder / LAST)
        assert (tmp_path / str(number) / LOG).read_bytes() == (unbroken["se+fd"].folder / LOG).read_bytes()


def test_the_pseudo_masks_do_matter(data: Data, tmp_path: Path, unbroken: dict[str, Unbroken]) -> None:
    for name in data.target.names:
        masks.write_png(masks.path_of(tmp_path / "masks", name), np.zeros((192, 256)))
    train("se+fd", data._replace(masks=tmp_path / "masks"), tmp_path / "run")
    assert differing(tmp_path / "run" / LAST, unbroken["se+fd"].folder / LAST)


# --- kills ------------------------------------------------------------------------------------------------------------
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(event: str, count: int) -> None:
    """Let this process die, without a warning, at the `count`-th `event`."""
    left = itertools.count(count - 1, -1)

    def at(module: Any, name: str, before: bool = True) -> None:
        original = getattr(module, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            due = next(left) == 0
            if due and before:
                die()
            result = original(*arguments, **options)
            if due:
                die()
            return result

        setattr(module, name, wrapped)

    def save_half(tensors: Any, path: Path, metadata: Any = None) -> None:
        save_file(tensors, path, metadata=metadata)
        if next(left) == 0:
            os.truncate(path, os.path.getsize(path) // 2)
            die()

    if event == "half written":
        checkpoints.save_file = save_half  # type: ignore[assignment]
    elif event in ("before rename", "after rename"):
        at(os, "replace", before=event == "before rename")
    elif event == "validation":
        at(adaptation, "_count_error")
    else:
        at(losses, event)


def doomed(kind: str, data: Data, folder: Path, event: str | None, count: int) -> None:
    """Train in this process, which `arm` kills."""
    torch.set_num_threads(1)
    loop.LOG_EVERY = 1
    if event is not None:
        arm(event, count)
    train(kind, data, folder, resume=True)


# (what, at the how-manieth time, steps that the checkpoint then holds). Each process goes on where the last one died.
# The order of writing is: config, log and checkpoint of step 0; then after steps 2, 4, 6 the model, if it is the best
# yet, the log, the checkpoint.
DEATHS: dict[str, list[tuple[str, int, int | None]]] = {
    "se+fd": [
        ("before rename", 1, None),  # no config
        ("before rename", 2, None),  # config, no log
        ("before rename", 2, None),  # empty log, no checkpoint
        ("half written", 1, None),
        ("discriminator_loss", 2, 0),  # in step 1, E, C and S have moved and D has not
        ("before rename", 2, 0),  # log of step 2, checkpoint of step 0
        ("half written", 1, 0),
        ("after rename", 2, 2),
        ("discriminator_loss", 1, 2),
        ("validation", 1, 2),
        ("before rename", 2, 2),  # model of step 4, old log
        ("half written", 1, 2),  # that model again, half
        ("before rename", 3, 2),  # model and log of step 4, checkpoint of step 2
        ("after rename", 3, 4),
        ("half written", 1, 4),
    ],
    "segmenter": [
        ("source_segmentation_loss", 2, 0),
        ("half written", 1, 0),
        ("after rename", 2, 2),
        ("before rename", 4, 4),  # log of step 6, checkpoint of step 4
        ("before rename", 3, 6),  # all done, but for the model
    ],
}


@pytest.mark.alone
@posix
@pytest.mark.parametrize("kind", DEATHS)
def test_a_run_killed_at_the_worst_moments_ends_as_the_unbroken_one(
    kind: str, data: Data, tmp_path: Path, unbroken: dict[str, Unbroken], start: Callable[..., Any]
) -> None:
    folder = tmp_path / "run"
    for event, count, steps in DEATHS[kind]:
        process = start(doomed, kind, data, folder, event, count)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, (event, count)
        for name in (LAST, MODEL):
            if (folder / name).exists():
                checkpoints.load(folder / name)
        found = checkpoints.load(folder / LAST)[1]["state"]["step"] if (folder / LAST).exists() else None
        assert found == steps, (event, count)
    train(kind, data, folder, resume=True)
    assert_same_run(folder, unbroken[kind].folder)


@pytest.mark.alone
@posix
@pytest.mark.parametrize("kind", DEATHS)
def test_a_run_killed_at_any_time_ends_as_the_unbroken_one(
    kind: str, data: Data, tmp_path: Path, unbroken: dict[str, Unbroken], start: Callable[..., Any]
) -> None:
    folder, rng = tmp_path / "run", random.Random()
    for _ in range(4):
        process = start(doomed, kind, data, folder, None, 0)
        process.join(rng.uniform(0, unbroken[kind].seconds))
        process.kill()
        process.join()
    train(kind, data, folder, resume=True)
    assert_same_run(folder, unbroken[kind].folder)


@pytest.mark.parametrize("how", ["empty", "shorter", "of another run"])
def test_a_run_does_not_go_on_with_another_log(
    how: str, data: Data, tmp_path: Path, unbroken: dict[str, Unbroken]
) -> None:
    folder = Path(shutil.copytree(unbroken["se+fd"].folder, tmp_path / "run"))
    lines = (folder / LOG).read_text().splitlines(keepends=True)
    other = {"empty": [], "shorter": lines[1:], "of another run": [lines[0].replace("0.", "1."), *lines[1:]]}[how]
    (folder / LOG).write_text("".join(other))
    with pytest.raises(InputError, match=r"metrics\.jsonl is not the log of this run up to step \d+; restore it"):
        train("se+fd", data, folder, resume=True)
    assert (folder / LOG).read_text() == "".join(other)


def test_worker_processes_change_nothing(data: Data, tmp_path: Path, unbroken: dict[str, Unbroken]) -> None:
    adapt(data.source, data.target, SE_FD, tmp_path / "run", pseudo_masks=data.masks, hardware=replace(CPU, workers=1))
    assert_same_run(tmp_path / "run", unbroken["se+fd"].folder)


# --- a full disk ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["se+fd", "segmenter"])
def test_a_full_disk_stops_the_run_and_more_space_lets_it_go_on(
    kind: str, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unbroken: dict[str, Unbroken]
) -> None:
    folder, written = tmp_path / "run", itertools.count()

    def full(tensors: Any, path: Path, metadata: Any = None) -> None:
        save_file(tensors, path, metadata=metadata)
        if next(written) >= 2:  # those of steps 0 and 2 are whole
            os.truncate(path, 1000)
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_file", full)
        with pytest.raises(InputError, match=r"cannot write .*\.safetensors: No space left on device") as caught:
            train(kind, data, folder)
    assert "\n" not in str(caught.value)
    assert {path.name for path in folder.iterdir()} <= {CONFIG, LOG, LAST}  # nothing temporary
    assert checkpoints.load(folder / LAST)[1]["state"]["step"] == 2
    train(kind, data, folder, resume=True)
    assert_same_run(folder, unbroken[kind].folder)


# --- NaN and infinity -------------------------------------------------------------------------------------------------
LOSSES = {
    "density": "density_loss",
    "seg_source": "source_segmentation_loss",
    "seg_target": "target_segmentation_loss",
    "adversarial": "adversarial_loss",
    "discriminator": "discriminator_loss",
}


def spoil(patch: pytest.MonkeyPatch, name: str, step: int, how: Callable[..., Tensor]) -> None:
    """From `step` on, let the loss called `name` go through `how(loss, its first argument)`."""
    original, calls = getattr(losses, name), itertools.count()
    patch.setattr(losses, name, lambda *a: how(original(*a), a[0]) if next(calls) >= step else original(*a))


@pytest.mark.parametrize(("term", "value"), [*((term, math.nan) for term in LOSSES), ("adversarial", math.inf)])
def test_a_loss_that_is_not_finite_stops_the_run(
    term: str, value: float, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    unbroken: dict[str, Unbroken],
) -> None:  # fmt: skip
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        spoil(patch, LOSSES[term], 3, lambda loss, _: loss * value)
        with pytest.raises(TrainingStopped) as caught:
            train("se+fd", data, folder)
    message = str(caught.value)
    assert f"the {term} loss is not finite at step 3; the last good checkpoint is {folder / LAST}" in message
    assert "\n" not in message
    tensors, card = checkpoints.load(folder / LAST)
    assert card["state"]["step"] == 2 and all(tensor.isfinite().all() for tensor in tensors.values())
    if term == "discriminator":  # E, C and S had taken step 3 already: not so in the checkpoint
        train("se+fd", data, folder, resume=True)
        assert_same_run(folder, unbroken["se+fd"].folder)


def test_a_mask_model_that_is_not_finite_stops_too(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        spoil(patch, "source_segmentation_loss", 0, lambda loss, _: loss * math.nan)
        with pytest.raises(TrainingStopped, match="segmentation loss is not finite at step 0; no checkpoint had been"):
            train("segmenter", data, tmp_path / "a")
    assert checkpoints.read_card(tmp_path / "a" / LAST)["state"]["step"] == 0
    assert not (tmp_path / "a" / MODEL).exists()

    # A loss may be finite where its gradient is not. Then the weights are spoilt before any loss shows it.
    def nan_gradient(loss: Tensor, logits: Tensor) -> Tensor:
        return loss + 0 * (logits - logits).sqrt().sum()

    with monkeypatch.context() as patch:
        spoil(patch, "source_segmentation_loss", 3, nan_gradient)
        with pytest.raises(TrainingStopped, match=r"not finite after step 4; the last good checkpoint"):
            train("segmenter", data, tmp_path / "b")
    tensors, card = checkpoints.load(tmp_path / "b" / LAST)
    assert card["state"]["step"] == 2 and all(tensor.isfinite().all() for tensor in tensors.values())
    with monkeypatch.context() as patch:
        spoil(patch, "density_loss", 3, nan_gradient)
        with pytest.raises(TrainingStopped, match=r"validation error is not finite after step 4; the last good"):
            train("noadapt", data, tmp_path / "c")
    assert checkpoints.load(tmp_path / "c" / LAST)[1]["state"]["step"] == 2


# --- beginning --------------------------------------------------------------------------------------------------------
def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["se+fd", "segmenter"])
def test_a_folder_in_use_is_left_alone(kind: str, data: Data, unbroken: dict[str, Unbroken], tmp_path: Path) -> None:
    folder = unbroken[kind].folder
    before = content(folder)
    with pytest.raises(InputError, match=rf"{re.escape(str(folder))} already holds a run; pass `resume`"):
        train(kind, data, folder)
    assert content(folder) == before
    shutil.copytree(folder, tmp_path / "lost")
    (tmp_path / "lost" / CONFIG).unlink()  # a checkpoint is a run, whether or not its options are known
    for resume in (False, True):
        with pytest.raises(InputError, match=r"already holds a run|config\.json, by which"):
            train(kind, data, tmp_path / "lost", resume=resume)


@pytest.mark.parametrize("kind", ["se+fd", "segmenter"])
def test_a_finished_run_is_found_and_not_written_again(
    kind: str, data: Data, unbroken: dict[str, Unbroken], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its digest names it in the masks and in the runs that begin with it; another date or version must not change it.
    monkeypatch.setattr(checkpoints, "versions", lambda: {"torch": "of next year"})
    before = content(unbroken[kind].folder)
    assert train(kind, data, unbroken[kind].folder, resume=True) == unbroken[kind].folder / MODEL
    assert content(unbroken[kind].folder) == before


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("se+fd", {"learning_rate": 2e-3}, r"was started with learning_rate = 0\.001, not 0\.002"),
        ("se+fd", {"weights": LossWeights(0.3, 0.2, 0.0)}, r"was started with weights: adversarial = 0\.1, not 0\.0"),
        ("se+fd", {"source": Augmentation((128, 128))}, "was started with source: "),
        ("se+fd", {"steps": 8}, "was started with steps = 6, not 8"),
        ("se+fd", {"seed": 4}, "was started with seed = 3, not 4"),
        ("segmenter", {"batch_size": 4}, "was started with batch_size = 2, not 4"),
    ],
)
def test_other_options_are_named(
    kind: str, changes: dict[str, Any], message: str, data: Data, unbroken: dict[str, Unbroken]
) -> None:
    before = content(unbroken[kind].folder)
    with pytest.raises(InputError, match=message) as caught:
        train(kind, data, unbroken[kind].folder, resume=True, **changes)
    assert CONFIG in str(caught.value) and "\n" not in str(caught.value)
    assert content(unbroken[kind].folder) == before


def test_other_data_masks_and_beginnings_are_named(data: Data, tmp_path: Path, unbroken: dict[str, Unbroken]) -> None:
    folder = unbroken["se+fd"].folder
    shutil.copytree(data.masks, tmp_path / "masks")
    masks.write_png(masks.path_of(tmp_path / "masks", data.target.names[0]), np.ones((192, 256)))
    for changed, key in (
        (data._replace(source=data.source.subset(range(7))), "source_data"),
        (data._replace(target=data.target.subset(range(5))), "target_data"),
        (data._replace(masks=tmp_path / "masks"), "pseudo_masks"),
    ):
        with pytest.raises(InputError, match=f"was started with {key}"):
            train("se+fd", changed, folder, resume=True)
    with pytest.raises(InputError, match="was started with init = None"):
        adapt(
            data.source, data.target, SE_FD, folder, pseudo_masks=data.masks, init=folder / MODEL, hardware=CPU,
            resume=True,
        )  # fmt: skip


def test_a_model_is_no_checkpoint_to_go_on_from(data: Data, tmp_path: Path, unbroken: dict[str, Unbroken]) -> None:
    shutil.copytree(unbroken["se+fd"].folder, tmp_path / "run")
    shutil.copy(tmp_path / "run" / MODEL, tmp_path / "run" / LAST)
    with pytest.raises(InputError, match="no state to go on from"):
        train("se+fd", data, tmp_path / "run", resume=True)
    tensors, card = checkpoints.load(unbroken["se+fd"].folder / LAST)
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer.D.")}
    checkpoints.save(tmp_path / "run" / LAST, kept, card)
    with pytest.raises(InputError, match=r"optimizer\.D\.0\.\* is missing"):
        train("se+fd", data, tmp_path / "run", resume=True)
    for load in (checkpoints.load_counter, checkpoints.load_segmenter):  # nor is a checkpoint a model
        with pytest.raises(InputError, match=r"use the model\.safetensors beside it"):
            load(tmp_path / "run" / LAST)


def test_init_gives_the_networks_their_weights(
    data: Data, tmp_path: Path, unbroken: dict[str, Unbroken], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = unbroken["se+fd"].folder / MODEL
    run, _ = prepare(PRESET.method("fd"), data, tmp_path / "run", monkeypatch, init=model)
    stored = tensors_of(model)
    for name, value in run.modules["networks"].counter.state_dict().items():  # type: ignore[union-attr]
        assert torch.equal(value, stored[f"counter.{name}"])
    se, _ = prepare(PRESET.method("se"), data, tmp_path / "se", monkeypatch, init=model)
    learnt = {f"S.{name}": value for name, value in se.modules["networks"].S.state_dict().items()}  # type: ignore[union-attr]
    assert learnt and all(torch.equal(value, stored[name]) for name, value in learnt.items())
    assert json.loads((tmp_path / "run" / CONFIG).read_text())["init"] == checkpoints.weights_digest(model)
    for changes, message in (
        ({"width": 1 / 8}, "width is 0.0625, not 0.125"),
        ({"label_factor": 100.0}, "label_factor is 10.0, not 100.0"),  # no shape shows it, every count would
    ):
        other = replace(SE_FD, **changes)
        with pytest.raises(InputError, match=f"of another architecture: {message}") as caught:
            adapt(data.source, data.target, other, tmp_path / "no", pseudo_masks=data.masks, init=model, hardware=CPU)
        assert str(model) in str(caught.value)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steps": -1}, "steps is from 0 up, not -1"),
        ({"steps": 0}, "0 steps or 0 epochs"),
        ({"steps": 2.5}, "steps is a whole number, not 2.5"),
        ({"steps": True}, "steps is a whole number, not True"),
        ({"steps": 0, "epochs": -3}, "epochs is from 0 up, not -3"),
        ({"batch_size": 0}, "batch_size is above 0, not 0"),
        ({"schedule": "Polynomial"}, "schedule is one of polynomial, epochs, not 'Polynomial'"),
        ({"holdout": -0.2}, "holdout is from 0 to below 1, not -0.2"),
        ({"holdout": math.nan}, "holdout is from 0 to below 1, not nan"),
        ({"average": 1.0}, "average is from 0 to below 1, not 1.0"),
        ({"label_factor": 0.0}, "label_factor is above 0, not 0.0"),
        ({"width": -1.0}, "width is above 0, not -1.0"),
        ({"learning_rate": math.inf}, "learning_rate is from 0 up, not inf"),
        ({"learning_rate": "1e-3"}, "learning_rate is a number, not '1e-3'"),
        ({"validate_every": 0}, "validate_every is above 0, not 0"),
        ({"seed": -1}, "seed is from 0 to below 2**63, not -1"),
        ({"seed": 2**63}, "seed is from 0 to below 2**63"),
        ({"pretrained": "no"}, "pretrained is True or False, not 'no'"),
        ({"counter": "nope"}, "counter is one of paper, authors"),
        ({"source": Augmentation((100, 100))}, "multiples of 8 from 8 up here, not 100x100"),
        ({"weights": LossWeights(0, 0, 1), "target": Augmentation((64, 128))}, "from 128 up here, not 64x128"),
    ],
)
def test_impossible_numbers_are_refused(changes: dict[str, Any], says: str, data: Data, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        train("noadapt", data, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_meant_is_refused_when_it_is_made() -> None:
    for make in (
        lambda: Augmentation((64, 0)),
        lambda: Augmentation((64, 32.5)),  # type: ignore[arg-type]
        lambda: Augmentation((64, 64), jitter=math.nan),
        lambda: Augmentation((64, 64), scale=(0.5, math.inf)),
        lambda: SegmenterConfig(steps=-1),
        lambda: SegmenterConfig(threshold=1.5),
        lambda: SegmenterConfig(augmentation=Augmentation((100, 100))),
        lambda: TranslationConfig(pool=-1),
        lambda: TranslationConfig(learning_rate=math.nan),
        lambda: DensityKernel(sigma=math.nan),
        lambda: Augmentation((64, 64), scale=(0.0, 1.0)),
        lambda: Augmentation((64, 64), scale=(1.0, 0.5)),
        lambda: DensityKernel(sigma=0.0),
        lambda: DensityKernel(kernel_size=4),
        lambda: DensityKernel(kernel_size=15.9),  # type: ignore[arg-type]
        lambda: DensityKernel(sigma=1e-39),
        lambda: Augmentation((64,)),  # type: ignore[arg-type]
        lambda: Augmentation((64, 64), jitter=20),
        lambda: Hardware(accumulate=0),
        lambda: Hardware(accumulate=1.5),  # type: ignore[arg-type]
        lambda: Hardware(workers=-1),
        lambda: Hardware(devices="1"),  # type: ignore[arg-type]
        lambda: Hardware("banana"),
        lambda: Hardware(precision="bf16-true"),
        lambda: Records(keep=-1),
        lambda: MiniWorldSettings(source_train=-3),
        lambda: MiniWorldSettings(strength=math.nan),
        lambda: Sample(np.zeros((4, 4, 3), np.uint8), points=np.array([1.0, 2.0])),
        lambda: CrowdCounter(8, -1.0),
        lambda: DensityEstimator(8, 12),
        lambda: masks.from_probability(np.zeros((4, 4)), 30),
        lambda: masks.from_probability(np.zeros((4, 4)), math.nan),
        lambda: masks.from_probability(np.zeros((4, 4)), dilate=1.5),  # type: ignore[arg-type]
        lambda: masks.write_png("never.png", np.full((4, 4), 0.6)),
    ):
        with pytest.raises(ValueError):  # each in its own words
            make()


def test_numbers_of_numpy_are_numbers(data: Data, tmp_path: Path) -> None:
    changes = {"seed": np.int64(2**62), "label_factor": np.float32(10.0)}
    model = train("noadapt", data, tmp_path / "run", **changes)
    assert checkpoints.read_card(model)["config"]["seed"] == 2**62


def test_a_counter_of_ones_own_is_found_again_by_its_name(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights fit the paper's counter too, which counts otherwise."""

    class Mine(CrowdCounter):
        def local(self, x: torch.Tensor) -> torch.Tensor:
            return self.C(self.E(x).square())

    with monkeypatch.context() as patch:
        patch.setitem(COUNTERS, "mine", Mine)
        model = train("noadapt", data, tmp_path / "run", counter="mine")
        assert isinstance(checkpoints.load_counter(model)[0], Mine)
    with pytest.raises(InputError, match="mine"):
        checkpoints.load_counter(model)


def test_a_start_that_may_have_learnt_from_the_held_out_images_is_told(
    data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train("noadapt", data, tmp_path / "first")
    for seed, told in ((SE_FD.seed, False), (SE_FD.seed + 1, True)):
        config = replace(PRESET.method("noadapt"), seed=seed)
        adapt(data.source, None, config, tmp_path / f"{seed}", init=first, hardware=CPU)
        assert ("may have learnt from images that are held out" in capsys.readouterr().err) == told


@pytest.mark.parametrize(
    ("training", "what"),
    [
        ("se+fd", "masks"),
        ("se+fd", "source label"),
        ("se+fd", "source"),
        ("se+fd", "target"),
        ("segmenter", "third"),
        ("cyclegan", "source"),
    ],
)
def test_data_that_changes_while_it_is_learnt_from_is_told(
    training: str, what: str, mini_world: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The card would name the old one, although the later steps have seen the new."""
    world = Path(shutil.copytree(mini_world, tmp_path / "world"))
    source, target, third = (open_dataset(f"mini-{name}:{world}", "train") for name in ("source", "target", "third"))
    folder = Path(shutil.copytree(data.masks, tmp_path / "masks"))
    changed = {
        "masks": next(folder.rglob("*.png")), "source": source.files(0)[0], "source label": source.files(0)[1],
        "target": target.files(0)[0], "third": third.files(0)[0],
    }[what]  # fmt: skip
    one_step = loop.Training.one_step

    def changing(self: loop.Training, step: int, batch: Any) -> Any:
        if step == 0:
            other = {"masks": 1, "source label": 1}.get(what, 2)  # the same file of another image
            path = sorted(changed.parent.glob(f"*{changed.suffix}"))[other]
            changed.write_bytes(path.read_bytes())
        return one_step(self, step, batch)

    monkeypatch.setattr(loop.Training, "one_step", changing)
    with pytest.raises(InputError, match="run has learnt from data that has changed"):
        if training == "segmenter":
            train_segmenter(third, replace(SEGMENTER, steps=3), tmp_path / "run", hardware=CPU)
        elif training == "cyclegan":
            config = TranslationConfig(steps=3, width=1 / 16, blocks=0, augmentation=SEGMENTER.augmentation)
            train_translation(source, target, config, tmp_path / "run", hardware=CPU)
        else:
            adapt(source, target, replace(SE_FD, steps=3), tmp_path / "run", pseudo_masks=folder, hardware=CPU)
    assert not (tmp_path / "run/model.safetensors").exists()


@pytest.mark.parametrize(
    "error",
    [RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), ConnectionResetError(), EOFError()],
    ids=lambda error: type(error).__name__,
)
def test_a_worker_that_is_killed_is_one_line(
    error: Exception, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(adaptation.AdaptationOnDevice, "step", dies)
    with pytest.raises(TrainingStopped, match="a process that prepares batches was killed: was there memory enough"):
        train("noadapt", data, tmp_path / "run")


def test_a_batch_in_parts_has_as_many_target_images(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    step = adaptation.AdaptationOnDevice(SE_FD, CPU.launch())
    step.begin(replace(CPU, accumulate=2))
    source, target = {"image": torch.zeros(4, 3, 8, 8)}, {"image": torch.zeros(2, 3, 8, 8)}
    with pytest.raises(ValueError, match="not 4 and 2"):
        step.step(source, target)


def test_the_seed_of_a_configuration_is_the_experiments(data: Data, tmp_path: Path) -> None:
    experiment = Experiment(tmp_path, PRESET, data.source, data.target, seed=0, hardware=CPU)
    with pytest.raises(InputError, match="has seed 7, but the experiment has 0"):
        experiment.train("noadapt", replace(PRESET.method("noadapt"), seed=7))


# --- the choice of the model ------------------------------------------------------------------------------------------
def test_the_held_out_part_is_disjoint_and_goes_by_the_seed(data: Data) -> None:
    def parts(**changes: Any) -> tuple[list[str], list[str]]:
        trained_on, held_out = split_source(data.source, replace(SE_FD, **changes))
        return trained_on.names, [] if held_out is None else held_out.names

    trained_on, held_out = parts()
    assert len(held_out) == 2 and sorted(trained_on + held_out) == sorted(data.source.names)
    assert parts() == (trained_on, held_out) == parts(steps=100, weights=LossWeights(0, 0, 0))
    assert len({tuple(parts(seed=seed)[1]) for seed in range(10)}) > 3
    assert parts(holdout=0.0) == (data.source.names, [])
    assert len(parts(holdout=0.01)[1]) == 1  # what is asked for is not rounded to nothing
    with pytest.raises(InputError, match="leaves nothing of 8 source images"):
        parts(holdout=0.95)


def test_the_lowest_source_error_chooses_and_held_out_images_only_choose(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: set[str] = set()
    watched = data.source.subset(range(8))
    watched._cache = None
    load = CrowdDataset._load

    def note(self: CrowdDataset, entry: Entry) -> Any:
        read.add(entry.name)
        return load(self, entry)

    watched.__class__ = type("Watched", (type(watched),), {"_load": note})
    errors, weights, judged = iter([5.0, 3.0, 4.0, 3.0]), [], []

    def judge(counter: CrowdCounter, held_out: CrowdDataset, fabric: Any) -> float:
        weights.append({name: value.clone() for name, value in counter.state_dict().items()})
        judged.append(held_out.names)
        return next(errors)

    monkeypatch.setattr(adaptation, "_count_error", judge)
    train("noadapt", data._replace(source=watched), tmp_path, validate_every=1)
    trained_on, held_out = split_source(data.source, SE_FD)
    assert held_out is not None
    assert judged == [held_out.names] * 4 and read == set(trained_on.names)
    tensors, card = checkpoints.load(tmp_path / MODEL)
    assert card["chosen"] == {"step": 4, "validation": 3.0}  # of steps 3 to 6, the first of the two best
    assert all(torch.equal(tensors[f"counter.{name}"], value) for name, value in weights[1].items())
    assert any(not torch.equal(weights[1][name], value) for name, value in weights[3].items())
    log = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [(line["step"], line["validation"]) for line in log if "validation" in line] == [
        (3, 5.0), (4, 3.0), (5, 4.0), (6, 3.0),
    ]  # fmt: skip


def test_the_validation_error_is_the_mae_of_whole_images(data: Data, unbroken: dict[str, Unbroken]) -> None:
    counter, card = checkpoints.load_counter(unbroken["se+fd"].folder / MODEL)
    _, held_out = split_source(data.source, SE_FD)
    assert held_out is not None
    errors = []
    for sample in held_out:
        x = torch.from_numpy(sample.image).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            errors.append(abs(counter(x).sum().item() - sample.count))
    assert card["chosen"]["validation"] == pytest.approx(np.mean(errors), rel=1e-3)
    assert card["chosen"]["step"] in (4, 6)


def test_a_gpu_too_small_for_the_validation_is_one_line(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step sees crops and the validation whole images, so memory may suffice for the one and not for the other."""

    def too_large(*arguments: Any) -> float:
        raise torch.cuda.OutOfMemoryError("Tried to allocate 20.00 GiB.\nGPU 0 has a total capacity of 15 GiB.")

    monkeypatch.setattr(adaptation, "_count_error", too_large)
    with pytest.raises(TrainingStopped, match=r"too small for whole images .*; shrink them \(`size`\)") as caught:
        train("noadapt", data, tmp_path, steps=2, validate_every=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("average", "prefix"), [(0.0, "networks"), (0.5, "average.module")])
def test_without_held_out_images_the_last_weights_are_the_model(
    average: float, prefix: str, data: Data, tmp_path: Path
) -> None:
    train("noadapt", data, tmp_path, steps=2, holdout=0.0, average=average)
    last = tensors_of(tmp_path / LAST)
    model, card = checkpoints.load(tmp_path / MODEL)
    assert model and all(torch.equal(last[f"{prefix}.{name}"], tensor) for name, tensor in model.items())
    assert card["chosen"] == {"step": 2, "validation": None}


def test_the_model_is_the_running_mean_of_the_weights(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, step = prepare(replace(SE_FD, average=0.75), data, tmp_path, monkeypatch)
    mean: dict[str, Tensor] = {}
    for number in range(3):
        step(number)
        for name, value in run.modules["networks"].state_dict().items():
            mean[name] = value.clone() if number == 0 else 0.75 * mean[name] + 0.25 * value
    for part in ("counter", "S"):
        for name, value in run.deployed[part].state_dict().items():
            if value.is_floating_point():  # the statistics of batch norm too; not its counter of batches
                assert torch.allclose(value, mean[f"{part}.{name}"], rtol=1e-5, atol=1e-7), name


# --- several processes ------------------------------------------------------------------------------------------------
def one_of_two(rank: int, port: int, data: Data, folder: Path) -> None:
    """Process `rank` of a run of two: the first is slow to write, the second late to begin."""
    torch.set_num_threads(1)
    os.environ.update(
        LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )

    def slow(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
        def slowed(*arguments: Any) -> Any:
            time.sleep(seconds)
            return function(*arguments)

        return slowed

    if rank == 0:
        checkpoints.save = slow(checkpoints.save, 0.3)
    else:
        RunFolder.begin = slow(RunFolder.begin, 0.3)  # type: ignore[method-assign]
    hardware = replace(CPU, devices=2)
    config = replace(SE_FD, batch_size=4, steps=2)
    model = adapt(data.source, data.target, config, folder / "run", pseudo_masks=data.masks, hardware=hardware)
    # Both go on with what the first one wrote, as a warm start does.
    adapt(data.source, None, PRESET.method("noadapt"), folder / "next", init=model, hardware=hardware)
    state = torch.distributed.get_rank(), torch.distributed.get_world_size()
    (folder / f"{rank}.done").write_text(str(state))


@posix
def test_two_processes_train_one_model(data: Data, tmp_path: Path, start: Callable[..., Any]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [start(one_of_two, rank, port, data, tmp_path) for rank in range(2)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [(tmp_path / f"{rank}.done").read_text() for rank in range(2)] == ["(0, 2)", "(1, 2)"]
    counter, card = checkpoints.load_counter(tmp_path / "run" / MODEL)
    assert card["chosen"]["step"] == 2 and all(p.isfinite().all() for p in counter.parameters())


# --- the mask model and its masks -------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def mask_model(unbroken: dict[str, Unbroken]) -> Path:
    return unbroken["segmenter"].folder / MODEL


def test_masks_are_the_thresholded_prediction_and_say_where_they_come_from(
    data: Data, mask_model: Path, tmp_path: Path
) -> None:
    folder = write_pseudo_masks(mask_model, without_labels(data.target), tmp_path / "masks", threshold=0.45, dilate=0)
    provenance = json.loads((folder / PROVENANCE).read_text())
    assert provenance["weights_sha256"] == checkpoints.weights_digest(mask_model)
    assert provenance["threshold"] == 0.45 and provenance["dilate"] == 0
    assert provenance["target"]["images"] == 6 and len(provenance["date"]) == 10
    assert sorted(path.stem for path in folder.glob("*.png")) == sorted(data.target.names)
    segmenter, _ = checkpoints.load_segmenter(mask_model)
    for sample in data.target:
        x = torch.from_numpy(sample.image).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            p = segmenter["S"](segmenter["E"](x)).sigmoid()[0, 0].numpy()
        sure = abs(p - 0.45) > 1e-4
        mask = masks.read_png(masks.path_of(folder, sample.name), sample.size)
        assert np.array_equal(mask[sure], (p > 0.45)[sure])


def test_masks_are_kept_and_missing_ones_made(
    data: Data, mask_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_pseudo_masks(mask_model, data.target, tmp_path / "masks", threshold=0.5)
    before, digest = content(folder), folder_digest(folder)
    gone = data.target.names[2:4]
    for name in gone:
        masks.path_of(folder, name).unlink()
    left = folder / f".tmp-{'0a' * 8}.png"  # by a kill
    for path in (left, folder / ".IMG_5.x1y2.png"):
        path.write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    written, write = [], masks.write_png
    monkeypatch.setattr(masks, "write_png", lambda path, mask: (written.append(path.stem), write(path, mask)))
    write_pseudo_masks(mask_model, data.target, folder, threshold=0.5)
    assert written == gone
    assert {name: text for name, text in content(folder).items() if name in before} == before
    assert (folder / "notes.txt").read_text() == "mine" and (folder / ".IMG_5.x1y2.png").read_bytes() == b"half"
    assert not left.exists()
    assert folder_digest(folder) == digest  # neither what has a dot nor the notes are masks
    written.clear()
    write_pseudo_masks(mask_model, data.target, folder, threshold=0.5)
    assert not written


def test_masks_of_another_origin_are_refused(
    data: Data, mask_model: Path, tmp_path: Path, unbroken: dict[str, Unbroken]
) -> None:
    folder = write_pseudo_masks(mask_model, data.target, tmp_path / "masks", threshold=0.5)
    before = content(folder)
    adapted = unbroken["se+fd"].folder / MODEL  # has an S too
    other: list[tuple[Path, CrowdDataset, dict[str, Any], str]] = [
        (mask_model, data.target, {"threshold": 0.4}, "threshold = 0.5, not 0.4"),
        (mask_model, data.target, {"threshold": 0.5, "dilate": 0}, "dilate = 2, not 0"),
        (mask_model, data.target.subset(range(5)), {"threshold": 0.5}, "target: images = 6, not 5"),
        (adapted, data.target, {"threshold": 0.5}, "weights_sha256 = "),
    ]
    for checkpoint, target, options, message in other:
        with pytest.raises(InputError, match=f"{folder} holds masks made with {message}"):
            write_pseudo_masks(checkpoint, target, folder, **options)
    (tmp_path / "foreign" / "deep").mkdir(parents=True)
    shutil.copy(masks.path_of(folder, data.target.names[0]), tmp_path / "foreign" / "deep" / "a.png")
    with pytest.raises(InputError, match="holds something else than masks"):
        write_pseudo_masks(mask_model, data.target, tmp_path / "foreign")
    assert content(folder) == before and len(content(tmp_path / "foreign")) == 1


def test_masks_are_checked_before_the_training_begins(data: Data, tmp_path: Path) -> None:
    shutil.copytree(data.masks, tmp_path / "masks")
    mask = masks.path_of(tmp_path / "masks", data.target.names[3])
    mask.rename(mask.with_suffix(".away"))
    broken = data._replace(masks=tmp_path / "masks")
    with pytest.raises(InputError, match=f"1 of 6 pseudo-masks are missing .*{mask.name}"):
        train("se", broken, tmp_path / "run")
    assert not (tmp_path / "run").exists()  # so the same command works once the mask is there
    masks.write_png(mask, np.zeros((64, 64)))
    with pytest.raises(InputError, match=f"{mask.name} is 64x64 but its image is 256x192"):
        train("se", broken, tmp_path / "run")


def test_a_probability_is_one_at_any_size_and_scale(data: Data, mask_model: Path) -> None:
    segmenter, _ = checkpoints.load_segmenter(mask_model)
    image = data.target.read_image(0)[:190, :250]  # no multiples of the stride
    one, double = (mask_model_module.crowd_probability(segmenter, image, scale) for scale in (1.0, 2.0))
    assert one.shape == double.shape == (190, 250) and one.dtype == np.float32
    assert (double != one).any() and min(one.min(), double.min()) >= 0 and max(one.max(), double.max()) <= 1


# --- presets and experiments ------------------------------------------------------------------------------------------
def test_methods_are_the_lambdas() -> None:
    on = SE_FD.weights
    assert {method: PRESET.method(method).weights for method in METHODS} == {
        "noadapt": LossWeights(0, 0, 0),
        "se": replace(on, adversarial=0.0),
        "fd": LossWeights(0, 0, on.adversarial),
        "se+fd": on,
    }
    for method in METHODS:  # nothing else differs
        assert replace(PRESET.method(method), weights=on) == SE_FD
    with pytest.raises(InputError, match="unknown method 'sefd'; known are noadapt, se, fd, se\\+fd"):
        PRESET.method("sefd")
    assert PRESETS == {"paper": PAPER, "mini": MINI, "photos": PHOTOS}
    assert (PAPER.adaptation.stride, PAPER.adaptation.width, PAPER.adaptation.learning_rate) == (16, 1.0, 1e-5)


def test_an_experiment_makes_what_methods_share_once(data: Data, tmp_path: Path) -> None:
    quick = Preset(
        segmenter=replace(SEGMENTER, steps=2),
        adaptation=replace(SE_FD, steps=2),
        warm_start=replace(PRESET.method("noadapt"), steps=2, batch_size=4),
    )
    experiment = Experiment(tmp_path, quick, data.source, without_labels(data.target), data.third, seed=5, hardware=CPU)
    assert experiment.train("se+fd") == tmp_path / "se+fd" / MODEL
    config = json.loads((tmp_path / "se+fd" / CONFIG).read_text())
    assert config["seed"] == 5 and config["init"] == checkpoints.weights_digest(tmp_path / "warm_start" / MODEL)
    assert config["pseudo_masks"] == folder_digest(tmp_path / "masks")
    shared = content(tmp_path)
    experiment.train("noadapt")
    assert {name: text for name, text in content(tmp_path).items() if name in shared} == shared
    before = content(tmp_path)
    with pytest.raises(InputError, match="already holds a run"):
        replace(experiment, boxes=None).train("se+fd")  # at once, before the long parts
    with pytest.raises(InputError, match="unknown method"):
        experiment.train("cycle")
    assert experiment.train("se+fd", resume=True) == tmp_path / "se+fd" / MODEL
    assert content(tmp_path) == before


def test_an_experiment_says_what_it_lacks(data: Data, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs pseudo-masks of the target; name a data set with boxes"):
        Experiment(tmp_path, PRESET, data.source, data.target, hardware=CPU).train("se")
    with pytest.raises(InputError, match="no target was given"):
        Experiment(tmp_path, PRESET, data.source, boxes=data.third, hardware=CPU).train("se")
    assert not list(tmp_path.iterdir())
