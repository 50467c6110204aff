"""Two processes on the CPU do what one does: the same training, masks and figures, and each of it once.

Both are started once for all the work of this file; the tests then compare what they left.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from tqdm import tqdm

from sdcda_tutorial import masks
from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.datasets.batches import Augmentation, Batches, DensityKernel
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.results import Results, evaluate
from sdcda_tutorial.experiments.pipeline import Experiment
from sdcda_tutorial.experiments.presets import Preset
from sdcda_tutorial.files import folder_digest, write_json
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.networks import CrowdCounter
from sdcda_tutorial.training import checkpoints, loop
from sdcda_tutorial.training import counter_training as adaptation
from sdcda_tutorial.training.config import AdaptationConfig, SegmenterConfig
from sdcda_tutorial.training.counter_training import AdaptationOnDevice, adapt
from sdcda_tutorial.training.hardware import Hardware
from sdcda_tutorial.training.loop import Training
from sdcda_tutorial.training.mask_model import PROVENANCE, train_segmenter, write_pseudo_masks
from sdcda_tutorial.training.processes import shared_out

pytestmark = pytest.mark.slow

ONE = Hardware(accelerator="cpu", precision="32-true", workers=0)
TWO = replace(ONE, devices=2)
CONFIG = AdaptationConfig(
    weights=LossWeights(0.3, 0.2, 0.1),
    steps=4,
    batch_size=4,
    source=Augmentation((128, 128), jitter=0.2),  # D needs 16 features a side
    target=Augmentation((128, 128)),
    kernel=DensityKernel(sigma=2.0),
    stride=8,
    width=1 / 16,
    label_factor=10.0,
    learning_rate=1e-3,
    schedule="polynomial",
    discriminator_rate=1e-3,
    discriminator_width=1 / 16,
    average=0.5,
    holdout=0.375,  # three images: no multiple of two
    validate_every=1,
    seed=3,
)
SEGMENTER = SegmenterConfig(
    steps=2, batch_size=4, augmentation=Augmentation((64, 80)), stride=8, width=1 / 16, learning_rate=1e-3
)
LAST, MODEL = "last.safetensors", "model.safetensors"


class Data(NamedTuple):
    source: CrowdDataset
    target: CrowdDataset
    third: CrowdDataset
    masks: Path

    def adapt(self, folder: Path, hardware: Hardware, **options: Any) -> Path:
        return adapt(self.source, self.target, CONFIG, folder, pseudo_masks=self.masks, hardware=hardware, **options)


# --- in both processes ------------------------------------------------------------------------------------------------
def frozen(patch: pytest.MonkeyPatch) -> None:
    """Batch norm as it was made, and no dropout: what is left does not depend on how a batch is shared."""
    begin = AdaptationOnDevice.begin

    def begin_frozen(self: AdaptationOnDevice, hardware: Hardware) -> None:
        begin(self, hardware)
        for module in self.networks.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
            elif isinstance(module, nn.Dropout2d):
                module.p = 0.0

    patch.setattr(AdaptationOnDevice, "begin", begin_frozen)


def noted(patch: pytest.MonkeyPatch, owner: Any, name: str, list_: list[Any], of: Callable[..., Any]) -> None:
    """Append of(result, *arguments) to the list at every call of owner.name."""
    function = getattr(owner, name)

    def called(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        list_.append(of(result, *arguments))
        return result

    patch.setattr(owner, name, called)


def everything(folder: Path, data: Data, model: Path) -> None:
    """All that two processes do in this file; each leaves what it saw in FOLDER/RANK."""
    torch.set_num_threads(1)
    loop.LOG_EVERY = 1
    fabric = TWO.launch()
    mine = folder / str(fabric.global_rank)
    mine.mkdir()
    seen: dict[str, list[Any]] = {"errors": [], "dropout": [], "masks": [], "shared": []}
    with pytest.MonkeyPatch.context() as patch:
        trained: list[AdaptationOnDevice] = []
        noted(patch, AdaptationOnDevice, "begin", trained, lambda _, self, *__: self)
        noted(patch, adaptation, "_count_error", seen["errors"], lambda error, *_: error)
        noted(patch, loop.Training, "one_step", seen["dropout"], lambda *_: float(torch.rand(())))
        data.adapt(folder / "plain", TWO)
        checkpoints.save(mine / "all", checkpoints.module_tensors(trained[0].modules()), {})
    with pytest.MonkeyPatch.context() as patch:
        frozen(patch)
        data.adapt(folder / "frozen", TWO)
        data.adapt(folder / "accumulated", replace(TWO, accumulate=2))
        data.adapt(folder / "resumed", TWO, resume=True)
    with pytest.MonkeyPatch.context() as patch:
        noted(patch, masks, "write_png", seen["masks"], lambda _, path, *__: path.stem)
        segmenter = train_segmenter(data.third, SEGMENTER, folder / "segmenter", hardware=TWO)
        write_pseudo_masks(segmenter, data.target, folder / "masks", threshold=0.5, hardware=TWO)
    counter, _ = checkpoints.load_counter(model)
    for images in (1, 2, 5):
        some = data.source.subset(range(images))
        evaluate(counter, some, progress=False, fabric=fabric).to_json(mine / f"{images}.json")
    for number in range(6):
        done: list[int] = []

        def square(index: int, done: list[int] = done) -> int:
            done.append(index)
            return index * index

        seen["shared"].append([number, done, shared_out(square, range(number), fabric)])
    write_json(mine / "seen.json", seen)


class Together(NamedTuple):
    folder: Path
    data: Data
    model: Path
    seen: list[dict[str, list[Any]]]


@pytest.fixture(scope="module")
def data(source: CrowdDataset, target: CrowdDataset, third: CrowdDataset, pseudo_masks: Path) -> Data:
    return Data(source, target, third, pseudo_masks)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So that this process computes as the two do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", 1)
        patch.setattr(tqdm, "monitor_interval", 0)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def alone(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one process: "frozen", and "half" of it, interrupted after the second step."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        frozen(patch)
        data.adapt(folder / "frozen", ONE)
        step = Training.one_step

        def interrupted(self: Training, number: int, *arguments: Any) -> Any:
            if number == 2:
                raise KeyboardInterrupt
            return step(self, number, *arguments)

        patch.setattr(Training, "one_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            data.adapt(folder / "half", ONE)
    return folder


@pytest.fixture(scope="module")
def together(data: Data, alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Together:
    """What the two processes left."""
    folder = tmp_path_factory.mktemp("together")
    shutil.copytree(alone / "half", folder / "resumed")
    model = alone / "frozen" / MODEL
    TWO.run(everything, folder, data, model)
    seen = [json.loads((folder / rank / "seen.json").read_text()) for rank in ("0", "1")]
    return Together(folder, data, model, seen)


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_equal_weights(folder: Path, reference: Path) -> None:
    """All that training changes and keeps (E, C, S, D, their mean) but for the moments of Adam, to 1e-5."""
    ours, theirs = (checkpoints.load(path / LAST)[0] for path in (folder, reference))
    assert ours.keys() == theirs.keys()
    weights = [name for name in ours if not name.startswith("optimizer.")]
    assert {name.split(".")[0] for name in weights} == {"networks", "average", "D"}
    for name in weights:
        assert torch.allclose(ours[name], theirs[name], rtol=0, atol=1e-5), name


# --- training ---------------------------------------------------------------------------------------------------------
def test_both_processes_end_with_the_same_weights_and_statistics(together: Together) -> None:
    first, second = (checkpoints.load(together.folder / rank / "all")[0] for rank in ("0", "1"))
    saved = checkpoints.load(together.folder / "plain" / LAST)[0]
    assert first.keys() == second.keys() == {name for name in saved if not name.startswith("optimizer.")}
    for name in first:
        assert torch.equal(first[name], second[name]) and torch.equal(first[name], saved[name]), name
    statistics = [name for name in first if name.endswith("running_var") and name.startswith("average.")]
    assert statistics and all(not torch.all(first[name] == 1) for name in statistics)  # they have seen images


def test_both_choose_the_model_by_the_same_error(together: Together) -> None:
    errors = together.seen[0]["errors"]
    assert errors == together.seen[1]["errors"] and len(errors) == 3  # after steps 2, 3, 4
    logged = [line["validation"] for line in log(together.folder / "plain") if "validation" in line]
    assert logged == pytest.approx(errors, abs=1e-4)
    card = checkpoints.load(together.folder / "plain" / MODEL)[1]
    assert card["chosen"]["validation"] == pytest.approx(min(errors))


def test_each_draws_its_own_dropout(together: Together) -> None:
    drawn = list(itertools.chain(*(seen["dropout"] for seen in together.seen)))
    assert len(set(drawn)) == len(drawn) == 8


@pytest.mark.parametrize("kind", ["frozen", "accumulated"])
def test_two_processes_train_as_one_where_batch_norm_is_frozen(kind: str, together: Together, alone: Path) -> None:
    assert_equal_weights(together.folder / kind, alone / "frozen")
    untrained = AdaptationOnDevice(CONFIG, ONE.launch()).plain.state_dict()
    trained = checkpoints.load(alone / "frozen" / LAST)[0]
    moved = [float((value - trained[f"networks.{name}"]).abs().max()) for name, value in untrained.items()]
    assert max(moved) > 1e-3  # or there would be nothing to compare
    validation = [[line.get("validation") for line in log(folder / kind2)] for folder, kind2 in
                  ((together.folder, kind), (alone, "frozen"))]  # fmt: skip
    assert [v is None for v in validation[0]] == [v is None for v in validation[1]]
    for ours, theirs in zip(*validation, strict=True):
        assert ours == theirs or ours == pytest.approx(theirs, rel=1e-4)


def test_a_run_of_one_process_is_gone_on_with_by_two(together: Together, alone: Path) -> None:
    assert checkpoints.load(alone / "half" / LAST)[1]["state"]["step"] == 2
    assert_equal_weights(together.folder / "resumed", alone / "frozen")
    steps = [line["step"] for line in log(together.folder / "resumed") if "density" in line]
    assert steps == [1, 2, 3, 4]
    assert log(together.folder / "resumed")[:2] == log(alone / "half")[:2]


def test_over_an_epoch_the_shares_are_disjoint_and_complete(data: Data) -> None:
    shares = [
        Batches(data.source, 4, CONFIG.source, seed=3, rank=rank, world_size=2) for rank in range(2)
    ]  # eight images: an epoch has two steps
    for epoch in range(3):
        drawn = [[i for step in (0, 1) for i in share.indices(2 * epoch + step)] for share in shares]
        assert not set(drawn[0]) & set(drawn[1])
        assert sorted(drawn[0] + drawn[1]) == list(range(8))


# --- masks and evaluation ---------------------------------------------------------------------------------------------
def test_each_mask_is_written_once_and_is_that_of_one_process(together: Together, tmp_path: Path) -> None:
    written = [seen["masks"] for seen in together.seen]
    assert written[0] and written[1] and sorted(written[0] + written[1]) == sorted(together.data.target.names)
    model = together.folder / "segmenter" / MODEL
    again = write_pseudo_masks(model, together.data.target, tmp_path / "masks", threshold=0.5, hardware=ONE)
    assert folder_digest(again) == folder_digest(together.folder / "masks")
    origins = [json.loads((folder / PROVENANCE).read_text()) for folder in (again, together.folder / "masks")]
    assert origins[0] == origins[1]


@pytest.mark.parametrize("images", [1, 2, 5])
def test_the_results_are_those_of_one_process(images: int, together: Together) -> None:
    counter, _ = checkpoints.load_counter(together.model)
    expected = evaluate(counter, together.data.source.subset(range(images)), progress=False)
    for rank in ("0", "1"):
        results = Results.from_json(together.folder / rank / f"{images}.json")
        assert [row.name for row in results.rows] == together.data.source.names[:images]
        assert np.array_equal(
            [[row.predicted, row.background, row.psnr, row.ssim] for row in results.rows],
            [[row.predicted, row.background, row.psnr, row.ssim] for row in expected.rows],
            equal_nan=True,
        )
        assert results.totals() == pytest.approx(expected.totals(), nan_ok=True, abs=0)


def test_what_is_shared_out_is_done_once_and_known_to_both(together: Together) -> None:
    for (number, done, squares), (_, done_by_second, squares_of_second) in zip(
        *(seen["shared"] for seen in together.seen), strict=True
    ):
        assert sorted(done + done_by_second) == list(range(number)) and abs(len(done) - len(done_by_second)) <= 1
        assert squares == squares_of_second == [i * i for i in range(number)]


# --- two machines -----------------------------------------------------------------------------------------------------
def place(_: Path) -> None:
    fabric = replace(ONE, nodes=2).launch()
    total = fabric.all_reduce(torch.tensor(float(fabric.global_rank + 1)), reduce_op="sum")
    text = f"{fabric.global_rank} of {fabric.world_size}, sum {float(total)}"  # type: ignore[arg-type]
    (_ / str(fabric.global_rank)).write_text(text)


def machine(rank: int, port: int, folder: Path) -> None:
    """What the same command does on machine `rank`."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), NODE_RANK=str(rank))
    replace(ONE, nodes=2).run(place, folder)


def test_two_machines_find_each_other(tmp_path: Path, start: Callable[..., Any]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    machines = [start(machine, rank, port, tmp_path) for rank in range(2)]
    for process in machines:
        process.join(120)
    assert [process.exitcode for process in machines] == [0, 0]
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["0 of 2, sum 3.0", "1 of 2, sum 3.0"]


# --- refused before anything is started -------------------------------------------------------------------------------
def test_what_cannot_be_shared_is_refused_at_once(data: Data, tmp_path: Path) -> None:
    three = replace(ONE, devices=3)
    preset = Preset(replace(SEGMENTER, batch_size=9), replace(CONFIG, batch_size=3), replace(CONFIG, batch_size=4))

    def refused(preset: Preset, boxes: CrowdDataset | None, message: str) -> None:
        experiment = Experiment(tmp_path, preset, data.source, data.target, boxes, hardware=three)
        with pytest.raises(InputError, match=message):
            experiment.check("se+fd", preset.adaptation)

    refused(replace(preset, adaptation=CONFIG), None, "^a batch of 4 cannot be shared by 3 processes")
    refused(preset, None, "^warm start: a batch of 4 cannot be shared by 3 processes")
    alone = replace(CONFIG, batch_size=3, weights=LossWeights(seg_source=0.01))  # S sees one image at a time
    refused(replace(preset, warm_start=alone), None, "^warm start: a batch of 3 on 3 .* fewer than 2 image")
    good = replace(preset, warm_start=None)
    refused(good, None, "name a data set with boxes")
    refused(replace(good, segmenter=SEGMENTER), data.third, "^mask model: a batch of 4 cannot be shared by 3")
    Experiment(tmp_path, good, data.source, data.target, data.third, hardware=three).check("se+fd", good.adaptation)


def test_a_training_on_two_devices_wants_two_processes(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="this is one process, not 2; start them by"):
        data.adapt(tmp_path / "run", TWO)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(InputError, match=r"4 processes were started, but 2 device\(s\) on 1 machine\(s\) are 2"):
        TWO.run(data.adapt, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_devices_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=r"`devices` 4: 2 GPU\(s\) are seen here"):
        Hardware(devices=4, precision="32-true").run(CrowdCounter)
    Hardware(accelerator="cpu", devices=4, precision="32-true").refuse_impossible()
