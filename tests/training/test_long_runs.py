"""What a run of days needs: the paper preset killed and gone on with, models of epochs, checkpoints by the clock."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from tqdm import tqdm

from sdcda_tutorial import losses
from sdcda_tutorial.datasets import CrowdDataset, open_dataset
from sdcda_tutorial.datasets.batches import Augmentation
from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.experiments.presets import MINI, PAPER
from sdcda_tutorial.files import atomic_path
from sdcda_tutorial.training import checkpoints, loop, saving
from sdcda_tutorial.training.counter_training import adapt
from sdcda_tutorial.training.hardware import Hardware
from sdcda_tutorial.training.saving import Records, RunFolder, summary_writer

pytestmark = pytest.mark.slow

# The paper's preset but for what would take hours: channels, the size of crops and batches, and 20 steps.
# The crop is larger than the images, 192×256, as 480×640 is than the smallest of ShanghaiTech A.
WINDOW = Augmentation((256, 256))  # the least that D's four convolutions can look at, at stride 16
SMALL_PAPER = replace(
    PAPER.adaptation, steps=20, epochs=0, batch_size=2, source=WINDOW, target=WINDOW, width=1 / 16,
    discriminator_width=1 / 16, pretrained=False,
)  # fmt: skip
IMAGES = 7  # trained on: one of the eight is held out
EPOCHS = [2, 3, 4, 5]  # epoch 5 ends with step 18 = ceil(35 / 2); of five epochs the last four are kept
RECORDS = Records(keep=4)
LAST, MODEL, LOG = "last.safetensors", "model.safetensors", "metrics.jsonl"

posix = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")


class Scaled(MixedPrecision):
    """Float32 whose loss is scaled as float16 needs it; the scale changes every few steps, as on a GPU in hours."""

    scale = 2.0**16

    def __init__(self) -> None:
        super().__init__("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=self.scale, growth_interval=3))
        self._desired_input_dtype = torch.float32

    def forward_context(self) -> Any:
        return nullcontext()


@dataclass(frozen=True)
class OnCPU(Hardware):
    """This machine's CPU."""

    accelerator: str = "cpu"
    precision: str = "32-true"
    workers: int | None = 0

    def launch(self) -> Fabric:
        if self.precision != "16-mixed":
            return super().launch()
        fabric = Fabric(accelerator="cpu", devices=1, plugins=Scaled())
        fabric.launch()
        return fabric


class Data(NamedTuple):
    source: CrowdDataset
    target: CrowdDataset
    masks: Path


@pytest.fixture(scope="module")
def data(source: CrowdDataset, target: CrowdDataset, pseudo_masks: Path) -> Data:
    return Data(source, target, pseudo_masks)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So that forked processes compute as this one does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tqdm, "monitor_interval", 0)
        yield
    torch.set_num_threads(threads)


def train(
    data: Data, folder: Path, precision: str = "32-true", *, steps: int = 20, records: Records = RECORDS,
    resume: bool = False, report: Callable[[int, int], None] | None = None,
) -> Path:  # fmt: skip
    return adapt(
        data.source, data.target, replace(SMALL_PAPER, steps=steps), folder, pseudo_masks=data.masks,
        hardware=OnCPU(precision=precision), records=records, resume=resume, report=report,
    )  # fmt: skip


def doomed(data: Data, folder: Path, precision: str, event: tuple[str, int]) -> None:
    """Train on, with a checkpoint after every step, and die without a warning at the so-many-th event."""
    saving.SAVE_AFTER = 0.0
    what, left = event
    place: Any = losses if hasattr(losses, what) else os
    original = getattr(place, what)

    def die(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(place, what, die)
    train(data, folder, precision, resume=True)


def epochs_in(folder: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("epoch_")) for path in folder.glob("epoch_*.safetensors"))


def without_time(card: dict[str, Any]) -> dict[str, Any]:
    state = {key: value for key, value in card.get("state", {}).items() if key != "seconds"}
    return {**{key: value for key, value in card.items() if key not in ("seconds", "date")}, "state": state}


def assert_same_run(folder: Path, reference: Path) -> None:
    names = {path.name for path in reference.iterdir()}
    assert {path.name for path in folder.iterdir()} == names  # nothing that a killed writer left behind
    for name in sorted(names):
        if name.endswith(".safetensors"):
            (ours, our_card), (theirs, their_card) = (checkpoints.load(f / name) for f in (folder, reference))
            assert ours.keys() == theirs.keys()
            assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == [], name
            assert without_time(our_card) == without_time(their_card)
        else:
            assert (folder / name).read_bytes() == (reference / name).read_bytes(), name


@pytest.fixture(scope="module")
def unbroken(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    assert train(data, folder) == folder / MODEL
    return folder


# --- killed -----------------------------------------------------------------------------------------------------------
@pytest.mark.alone
@posix
def test_a_killed_run_of_the_paper_preset_ends_as_the_unbroken_one(
    data: Data, unbroken: Path, tmp_path: Path, start: Callable[..., Any]
) -> None:
    """Schedule by epochs, D, epoch models, log: all bit for bit, wherever it was killed."""
    # In step 6; while a file is replaced (config, then log and checkpoint a step, and a model an epoch); in step 17.
    for event, least in ((("adversarial_loss", 6), 4), (("replace", 8), 6), (("discriminator_loss", 9), 14)):
        process = start(doomed, data, tmp_path / "run", "32-true", event)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, event
        assert checkpoints.read_card(tmp_path / "run" / LAST)["state"]["step"] >= least
    train(data, tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", unbroken)


@pytest.mark.alone
@posix
def test_a_killed_run_in_half_precision_goes_on_with_its_loss_scale(
    data: Data, tmp_path: Path, start: Callable[..., Any]
) -> None:
    scales = []
    update = torch.amp.GradScaler.update

    def note(self: Any, *arguments: Any) -> None:
        update(self, *arguments)
        scales.append(self.get_scale())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.amp.GradScaler, "update", note)
        train(data, tmp_path / "unbroken", "16-mixed")
    assert scales == sorted(scales) and scales[-1] > 2**10 * scales[0]  # it did change
    process = start(doomed, data, tmp_path / "run", "16-mixed", ("discriminator_loss", 9))
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    train(data, tmp_path / "run", "16-mixed", resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "unbroken")


def test_a_run_whose_loss_scale_was_too_large_so_far_goes_on(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Float16 leaves steps out until the scale fits: at first the optimisers may have nothing to go on with."""

    class PowerCut(Exception):
        pass

    def cut(done: int, steps: int) -> None:
        if done == 3:
            raise PowerCut

    monkeypatch.setattr(saving, "SAVE_AFTER", 0.0)  # after every step
    monkeypatch.setattr(Scaled, "scale", 2.0**127)
    total_loss = losses.total_loss
    monkeypatch.setattr(losses, "total_loss", lambda *terms, **more: 1000 * total_loss(*terms, **more))
    train(data, tmp_path / "unbroken", "16-mixed", steps=10)
    with pytest.raises(PowerCut):
        train(data, tmp_path / "run", "16-mixed", steps=10, report=cut)
    tensors, card = checkpoints.load(tmp_path / "run" / LAST)
    assert card["state"]["step"] == 2 and not [name for name in tensors if name.startswith("optimizer.networks")]
    train(data, tmp_path / "run", "16-mixed", steps=10, resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "unbroken")
    end = checkpoints.load(tmp_path / "run" / LAST)[0]
    assert [name for name in end if name.startswith("optimizer.networks")]  # later the scale did fit


def test_where_steps_are_slow_the_clock_asks_for_checkpoints(
    data: Data, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []
    save = checkpoints.save

    def note(path: Path, tensors: Any, card: Any) -> None:
        if Path(path).name == LAST:
            saved.append(card["state"]["step"])
        save(path, tensors, card)

    clock = iter(range(0, 10**6, 50))  # every look at the clock is 50 s after the last one
    monkeypatch.setattr(checkpoints, "save", note)
    monkeypatch.setattr(saving.time, "perf_counter", lambda: float(next(clock)))
    assert SMALL_PAPER.validate_every == 500
    train(data, tmp_path / "run", records=Records())
    assert len(saved) > 2 and saved[-1] == 20 and max(b - a for a, b in zip([0, *saved], saved, strict=False)) <= 7
    assert epochs_in(tmp_path / "run") == []  # nobody asked for them
    ours, theirs = (checkpoints.load(f / LAST)[0] for f in (tmp_path / "run", unbroken))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


# --- models of the epochs ---------------------------------------------------------------------------------------------
def test_the_models_of_the_last_epochs_are_kept_and_can_be_used(unbroken: Path) -> None:
    assert epochs_in(unbroken) == EPOCHS
    cards = {}
    for epoch in EPOCHS:
        counter, cards[epoch] = checkpoints.load_counter(unbroken / f"epoch_{epoch:04d}.safetensors")
        step = -(-epoch * IMAGES // SMALL_PAPER.batch_size)  # the first at which so many images have been seen
        assert cards[epoch]["chosen"] == {"step": step, "epoch": epoch, "validation": None}
        assert counter.label_factor == 100.0
    assert cards[5]["config"] == checkpoints.read_card(unbroken / MODEL)["config"]
    weights = [checkpoints.load(unbroken / f"epoch_{epoch:04d}.safetensors")[0] for epoch in EPOCHS[:2]]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_oldest_goes_when_the_new_one_is_safe(
    data: Data, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full at the fourth epoch costs that epoch, none of those before, and the run goes on after."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "epoch_notes.safetensors").write_text("mine")
    real = atomic_path

    def full(path: Path) -> Any:
        if Path(path).name == "epoch_0004.safetensors":
            raise InputError(f"cannot write {path}: No space left on device")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "atomic_path", full)
        patch.setattr(saving, "SAVE_AFTER", 0.0)
        with pytest.raises(InputError, match=r"epoch_0004\.safetensors: No space left"):
            train(data, folder, records=Records(keep=2))
    assert {path.name for path in folder.glob("epoch_0*")} == {"epoch_0002.safetensors", "epoch_0003.safetensors"}
    train(data, folder, resume=True, records=Records(keep=2))
    assert {path.name for path in folder.glob("epoch_0*")} == {"epoch_0004.safetensors", "epoch_0005.safetensors"}
    assert (folder / "epoch_notes.safetensors").read_text() == "mine"  # not ours
    ours, theirs = (checkpoints.load(f / LAST)[0] for f in (folder, unbroken))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_model_that_is_not_finite_is_no_epoch(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = losses.density_loss
    steps = iter(range(100))

    def spoil(pred: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        # Finite, but its gradient is not, from the sixth step on; the second epoch ends with the seventh.
        return spoilt(pred, truth) + (0 * (pred - pred).sqrt().sum() if next(steps) >= 5 else 0)

    monkeypatch.setattr(losses, "density_loss", spoil)
    with pytest.raises(TrainingStopped, match="not finite"):
        train(data, tmp_path / "run")
    assert epochs_in(tmp_path / "run") == [1]


# --- TensorBoard ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def accumulator() -> Any:
    return pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def test_tensorboard_shows_each_logged_step_once(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulator: Any
) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    records, folder = Records(tensorboard=True), tmp_path / "run"
    calls = itertools.count(1)
    density_loss = losses.density_loss
    with monkeypatch.context() as patch:
        patch.setattr(losses, "density_loss", lambda *a: density_loss(*a) * (1 if next(calls) < 5 else torch.nan))
        patch.setattr(saving, "SAVE_AFTER", 0.0)
        save = RunFolder.save  # the log is flushed with every checkpoint, but that of step 4 is lost
        patch.setattr(RunFolder, "save", lambda run, step, *a: run.log.save() if step == 4 else save(run, step, *a))
        with pytest.raises(TrainingStopped):
            train(data, folder, steps=6, records=records)
    train(data, folder, steps=6, records=records, resume=True)
    events = accumulator.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    log = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    assert set(events.Tags()["scalars"]) == {key for line in log for key in line} - {"step"}
    for name in events.Tags()["scalars"]:
        shown = [(event.step, event.value) for event in events.Scalars(name)]
        assert shown == [(line["step"], pytest.approx(line[name], rel=1e-5, abs=1e-6)) for line in log if name in line]


def test_tensorboard_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as Python does for what cannot be imported
    for ask in (summary_writer, lambda: Records(tensorboard=True)):
        with pytest.raises(InputError, match="pip install tensorboard, or drop `tensorboard`") as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_nothing_is_saved_of_data_that_has_changed(
    mini_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither after five minutes nor after an epoch: put back, such data would be gone on with, silently."""
    monkeypatch.setattr(saving, "SAVE_AFTER", 0.0)  # a checkpoint after every step
    world = Path(shutil.copytree(mini_world, tmp_path / "world"))
    ours = open_dataset(f"mini-source:{world}", "train")  # not cached, as large sets are

    def report(done: int, steps: int) -> None:
        if done == 1:
            first, second, *_ = ours.image_paths
            first.write_bytes(second.read_bytes())

    config = replace(MINI.method("noadapt"), steps=12, batch_size=4, validate_every=100, holdout=0.0)
    with pytest.raises(InputError, match="has learnt from data that has changed since: source_data"):
        adapt(ours, None, config, tmp_path / "run", hardware=OnCPU(), records=Records(keep=2), report=report)
    assert checkpoints.read_card(tmp_path / "run/last.safetensors")["state"]["step"] <= 1
    assert not list((tmp_path / "run").glob("epoch_*"))
