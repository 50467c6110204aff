"""What a GPU computes is what the CPU computes, up to rounding.

Each test runs on the CPU too, which is then compared with itself: so a test that cannot work shows without a GPU.
`pytest -m gpu` chooses those of a GPU; tools/gpu_check.py runs them and measures besides.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.datasets.batches import Augmentation, Batches, DensityKernel
from sdcda_tutorial.errors import TrainingStopped
from sdcda_tutorial.evaluation.results import evaluate
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.networks import CrowdCounter
from sdcda_tutorial.places import model
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.training.checkpoints import load, load_counter, load_segmenter, read_card
from sdcda_tutorial.training.config import AdaptationConfig
from sdcda_tutorial.training.counter_training import AdaptationOnDevice, adapt
from sdcda_tutorial.training.hardware import Hardware
from sdcda_tutorial.training.mask_model import crowd_probability

GPU = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no NVIDIA GPU")],
)
on_each_device = pytest.mark.parametrize("device", ["cpu", GPU])
CONFIG = AdaptationConfig(
    weights=LossWeights(0.3, 0.2, 2.0),  # all large enough to be missed
    steps=6,
    batch_size=4,
    source=Augmentation((128, 128)),
    target=Augmentation((128, 128)),
    stride=8,
    width=1 / 8,
    label_factor=10.0,
    learning_rate=1e-3,
    discriminator_width=1 / 8,
    holdout=0.0,
    validate_every=2,
)


@pytest.fixture(autouse=True)
def exact_convolutions() -> Any:
    """Without TF32, which rounds to ten bits what a GPU multiplies, GPU and CPU differ in the order of sums only."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def gradients(device: str, source: CrowdDataset) -> dict[str, Tensor]:
    """Of the first step, in float32."""
    fabric = Hardware(accelerator=device, precision="32-true").launch()
    adaptation = AdaptationOnDevice(CONFIG, fabric)
    adaptation.begin()
    for module in adaptation.plain.modules():
        if isinstance(module, nn.Dropout2d):
            module.eval()
    batch = fabric.to_device(Batches(source, 4, CONFIG.source, seed=0, kernel=DensityKernel())[0])
    adaptation.step(batch, batch)
    assert adaptation.plain_D is not None
    named = [*adaptation.plain.named_parameters(), *adaptation.plain_D.named_parameters()]
    assert all(parameter.device.type == device for _, parameter in named)
    return {name: parameter.grad.cpu() for name, parameter in named if parameter.grad is not None}


@pytest.mark.slow
@on_each_device
def test_a_step_has_the_gradients_of_the_cpu(device: str, source: CrowdDataset) -> None:
    wanted, found = gradients("cpu", source), gradients(device, source)
    assert wanted.keys() == found.keys() and len(wanted) > 50
    largest = max(float(gradient.norm()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        # Batch norm takes the mean off, so the bias before it has a gradient of rounding errors.
        assert float((found[name] - gradient).norm()) < 1e-2 * float(gradient.norm()) + 1e-4 * largest, name


class PowerCut(Exception):
    pass


def power_cut(done: int, steps: int) -> None:
    if done == 5:  # after the checkpoint of the fourth step
        raise PowerCut


@pytest.mark.slow
@on_each_device
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_a_run_in_half_precision_goes_on_where_it_was(
    device: str, precision: str, source: CrowdDataset, target: CrowdDataset, pseudo_masks: Path, tmp_path: Path
) -> None:
    if device == "cuda" and precision == "bf16-mixed" and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this card has no bfloat16")
    if device == "cpu" and precision == "16-mixed":
        pytest.skip("Fabric has no float16 on a CPU")
    options: dict[str, Any] = {
        "pseudo_masks": pseudo_masks, "hardware": Hardware(accelerator=device, precision=precision, workers=2),
    }  # fmt: skip
    whole = adapt(source, target, CONFIG, tmp_path / "whole", **options)
    with pytest.raises(PowerCut):
        adapt(source, target, CONFIG, tmp_path / "broken", report=power_cut, **options)
    assert read_card(tmp_path / "broken/last.safetensors")["state"]["step"] == 4
    model = adapt(source, target, CONFIG, tmp_path / "broken", resume=True, **options)
    ends = [load(path.with_name("last.safetensors")) for path in (whole, model)]
    (wanted, card), (found, other) = ends
    for name, tensor in wanted.items():
        assert bool(torch.isfinite(found[name]).all()), name
        if device == "cpu":  # a GPU adds up in another order each time
            assert torch.equal(found[name], tensor), name
    assert card["state"]["precision"] == other["state"]["precision"]
    if device == "cuda":
        assert (precision == "16-mixed") == (0 < card["state"]["precision"].get("scale", 0) < math.inf)
        about = read_card(model)["hardware"]
        assert about["precision"] == precision and about["device"] == torch.cuda.get_device_name()


@on_each_device
def test_workers_and_pinned_memory_change_no_batch(device: str, source: CrowdDataset) -> None:
    fabric = Hardware(accelerator=device, precision="32-true").launch()
    batches = Batches(source, 4, CONFIG.source, seed=0, kernel=DensityKernel())
    loaded = batches.from_step(3, 6, workers=2, pin_memory=device == "cuda")
    for step, batch in enumerate(loaded, start=3):
        on_device = fabric.to_device(batch)
        for name, tensor in batches[step].items():
            assert on_device[name].device.type == device
            assert torch.equal(on_device[name].cpu(), tensor), name
        assert on_device["image"].is_contiguous(memory_format=torch.channels_last)


@on_each_device
@pytest.mark.parametrize("name", ["se+fd", "noadapt"])
def test_a_map_is_that_of_the_cpu_whole_and_in_tiles(device: str, name: str, source: CrowdDataset) -> None:
    counter = load_counter(model(name))[0]
    image = np.tile(source[0].image, (2, 2, 1))
    wanted = predict_density(counter, image)
    counter.to(device)
    for pixels in (image.shape[0] * image.shape[1], 200**2):
        found = predict_density(counter, image, pixels)
        assert found.device.type == "cpu"
        assert float(found.sum()) == pytest.approx(float(wanted.sum()), rel=1e-3)
        assert float((found - wanted).abs().max()) < 1e-3 * float(wanted.max())


@on_each_device
def test_a_mask_is_that_of_the_cpu(device: str, target: CrowdDataset) -> None:
    segmenter = load_segmenter(model("segmenter"))[0].eval()
    wanted = crowd_probability(segmenter, target[0].image)
    assert np.abs(crowd_probability(segmenter.to(device), target[0].image) - wanted).max() < 1e-3


@on_each_device
def test_an_evaluation_is_that_of_the_cpu(device: str, target: CrowdDataset) -> None:
    counter = load_counter(model("se+fd"))[0]
    wanted = evaluate(counter, target, progress=False)
    found = evaluate(counter.to(device), target, progress=False)
    for name in ("mae", "mse", "background", "psnr", "ssim"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-2, abs=1e-2), name


@on_each_device
def test_a_fresh_counter_leaves_its_device_as_it_came(device: str) -> None:
    """The map comes back to the CPU; the counter stays, and so does its mode."""
    counter = CrowdCounter(stride=8, width=1 / 8).to(device).train()
    assert predict_density(counter, np.zeros((30, 40, 3), np.uint8)).device.type == "cpu"
    assert counter.training and counter.E.mean.device.type == device


@pytest.mark.parametrize("device", [GPU])
def test_too_little_memory_is_one_line(
    device: str, source: CrowdDataset, target: CrowdDataset, pseudo_masks: Path, tmp_path: Path
) -> None:
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    # Weights and a batch fit; the first activations are larger than a megabyte, for which PyTorch reserves 20 at once.
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 12 * 2**20) / total)
    try:
        with pytest.raises(TrainingStopped, match=r"GPU's memory is too small .*`accumulate` 2") as caught:
            adapt(
                source, target, replace(CONFIG, width=1 / 16), tmp_path / "run", pseudo_masks=pseudo_masks,
                hardware=Hardware(accelerator=device, precision="32-true", workers=0),
            )  # fmt: skip
        assert "\n" not in str(caught.value)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
