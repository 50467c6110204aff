"""A folded counter gives the map of the counter, leaves the counter alone, and needs less memory."""

from __future__ import annotations

import multiprocessing
import re
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sdcda_tutorial import folding, prediction
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.evaluation import evaluate
from sdcda_tutorial.folding import Blocks, folded
from sdcda_tutorial.networks import COUNTERS, CrowdCounter, image_batch, make_counter
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.rivals.sfcn import SFCN
from sdcda_tutorial.training import Hardware, counter_training
from sdcda_tutorial.training.checkpoints import load_counter
from sdcda_tutorial.training.hardware import recompute_activations

ROOT = Path(__file__).parents[1]
STORED = sorted(
    path for path in (ROOT / "data/checkpoints").glob("*.safetensors") if "translation" not in path.stem
)  # fmt: skip
ARCHITECTURES: list[dict[str, Any]] = [
    {"counter": name, "stride": stride, "width": 1 / 16, "label_factor": 10.0}
    for name in ("paper", "authors")
    for stride in (8, 16)
] + [{"counter": "sfcn", "stride": 8, "width": 1 / 16, "label_factor": 10.0}]


def randomised(counter: CrowdCounter) -> CrowdCounter:
    """Batch norms of which none is the identity, and a head whose map shows what its layers see."""
    torch.manual_seed(1)
    nn.init.uniform_(counter.C.head.weight, 0.1, 1)
    with torch.no_grad():
        for norm in counter.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.uniform_(-0.2, 0.5)
                norm.running_mean.uniform_(-0.3, 0.3)
                norm.running_var.uniform_(0.5, 2)
    return counter.eval()


@pytest.fixture
def counter() -> CrowdCounter:
    return randomised(CrowdCounter(stride=8, width=1 / 16, label_factor=10.0))


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Blobs, not noise: noise looks the same everywhere."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width])


def bare(counter: nn.Module, image: np.ndarray) -> Tensor:
    """The map as the counter itself gives it, of the whole image at once."""
    with torch.no_grad():
        return counter(image_batch(image[None]))[0, 0]


def assert_same(seen: Tensor, wanted: Tensor, within: float = 1e-5) -> None:
    assert seen.shape == wanted.shape and seen.dtype == torch.float32 and float(wanted.std()) > 0
    assert float((seen - wanted).abs().max()) <= within * float(wanted.max())
    assert float(seen.double().sum()) == pytest.approx(float(wanted.double().sum()), rel=within)


# --- the same map -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(97, 131), (64, 64), (5, 7)])
@pytest.mark.parametrize("tile_bytes", [folding.TILE_BYTES, 2**14])
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: f"{a['counter']}-{a['stride']}")
def test_the_map_is_that_of_the_counter(
    architecture: dict[str, Any], tile_bytes: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where each block is seen in many tiles."""
    monkeypatch.setattr(folding, "TILE_BYTES", tile_bytes)
    monkeypatch.setattr(folding, "LEAST_MARGINS", 3)
    network, image = randomised(make_counter(**architecture)), picture(*size)
    copy = folded(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in copy.modules())
    assert_same(bare(copy, image), bare(network, image))


def test_a_block_is_seen_in_tiles_of_limited_size(counter: CrowdCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "LEAST_MARGINS", 3)
    monkeypatch.setattr(folding, "TILE_BYTES", 2**15)  # 8,192 numbers: of 4 channels 45 × 45 pixels
    copy, image, sizes = folded(counter), picture(160, 200), []
    for layer in copy.E.features:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, __, found: sizes.append(found.numel()))
    bare(copy, image)
    assert max(sizes) <= 2**13 and len(sizes) > 100


def test_batches_are_seen_as_images_are(counter: CrowdCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "LEAST_MARGINS", 3)
    monkeypatch.setattr(folding, "TILE_BYTES", 2**15)
    x = image_batch(np.stack([picture(64, 96, seed) for seed in range(3)]))
    with torch.no_grad():
        torch.testing.assert_close(folded(counter)(x), counter(x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_every_stored_counter_counts_as_before(path: Path) -> None:
    if path.stem == "segmenter":
        pytest.skip("it has no C")
    network, image = load_counter(path)[0], picture(515, 640)
    assert image.shape[0] * image.shape[1] >= prediction.FOLDED_PIXELS
    assert_same(predict_density(network, image), bare(network, image))
    assert_same(predict_density(network, image, 300**2), bare(network, image))  # in tiles


def test_other_precisions_are_kept(counter: CrowdCounter) -> None:
    image = picture(64, 96)
    exact = folded(counter.double())
    assert exact.E.features[0].weight.dtype == torch.float64
    with torch.no_grad():
        x = image_batch(image[None]).double()
        torch.testing.assert_close(exact(x), counter(x), rtol=1e-6, atol=1e-9)


# --- the counter itself -----------------------------------------------------------------------------------------------
def test_the_counter_stays_as_it_is_and_the_copy_does_not_follow_it(counter: CrowdCounter) -> None:
    counter.train()
    counter.C.eval()  # a part that is frozen
    state = {name: value.clone() for name, value in counter.state_dict().items()}
    modes = {name: module.training for name, module in counter.named_modules()}
    image = picture(64, 96)
    copy = folded(counter)
    assert not any(module.training for module in copy.modules())
    assert {name: module.training for name, module in counter.named_modules()} == modes
    assert counter.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in counter.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in counter.parameters())
    before = bare(copy, image)
    counter.train()(torch.rand(2, 3, 32, 32)).sum().backward()
    with torch.no_grad():
        for parameter in counter.parameters():
            parameter -= 0.1 * (parameter.grad + 1)
    assert torch.equal(bare(copy, image), before)


def test_a_large_image_is_counted_with_the_weights_of_now(counter: CrowdCounter) -> None:
    """Nothing is remembered from one call to the next, however the weights were changed."""
    image = picture(512, 512)
    first = predict_density(counter, image)
    counter.C.head.weight.data.numpy()[:] *= 2  # of which torch knows nothing
    counter.E.features[1].running_var *= 4
    second = predict_density(counter, image)
    assert_same(second, bare(counter, image))
    assert float((second - first).abs().max()) > 0.01 * float(first.max())


def test_in_training_mode_a_large_image_is_counted_as_in_evaluation_mode(counter: CrowdCounter) -> None:
    image = picture(512, 512)
    wanted = predict_density(counter, image)
    counter.train()
    counter.E.eval()
    modes = [module.training for module in counter.modules()]
    recompute_activations(counter.E)
    assert torch.equal(predict_density(counter, image), wanted)
    assert [module.training for module in counter.modules()] == modes


def test_what_is_folded_is_not_folded_again(counter: CrowdCounter) -> None:
    copy = folded(counter)
    assert copy is not counter and isinstance(copy.E.features, Blocks) and folded(copy) is copy


# --- what is left alone -----------------------------------------------------------------------------------------------
def test_hooks_are_called_with_what_the_layers_see(counter: CrowdCounter) -> None:
    """A hook may belong to any layer, or change what it gives; it sees the counter as it is."""
    image, seen = picture(512, 520), []
    handle = counter.E.features[1].register_forward_hook(lambda _, __, found: seen.append(tuple(found.shape)))
    assert folded(counter) is counter
    assert torch.equal(predict_density(counter, image), bare(counter, image))
    assert seen == [(1, 4, 512, 520)] * 2
    handle.remove()
    assert folded(counter) is not counter


def test_a_gradient_hook_stays(counter: CrowdCounter) -> None:
    seen = []
    counter.C.head.weight.register_hook(lambda gradient: seen.append(gradient.shape))
    predict_density(counter, picture(512, 512))
    assert seen == []
    counter(torch.rand(1, 3, 32, 32)).sum().backward()
    assert len(seen) == 1


class Blind(nn.Module):
    """A network of which nothing is known, with a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def test_other_networks_and_odd_layers_are_left_alone(counter: CrowdCounter) -> None:
    other = Blind().eval()
    assert folded(other) is other
    assert torch.equal(predict_density(other, picture(512, 512)), bare(other, picture(512, 512)))
    image = picture(64, 96)
    counter.E.features[1] = nn.BatchNorm2d(4, track_running_stats=False)  # it normalises by the image, in tiles by each
    assert folded(counter) is counter
    counter.E.features[1] = nn.InstanceNorm2d(4)
    assert folded(counter) is counter
    counter.E.features[1] = nn.MaxPool2d(3, 2, 1)  # tiles would begin elsewhere in its windows
    assert folded(counter) is counter
    counter.E.features[1] = nn.Identity()
    nn.utils.parametrizations.spectral_norm(counter.C.convolutions[0][0])  # its weight is computed, not stored
    assert_same(bare(folded(counter), image), bare(counter, image))


def test_all_counters_of_the_package_are_folded() -> None:
    assert isinstance(SFCN(1 / 16), CrowdCounter)
    for name in COUNTERS:
        network = make_counter(name, stride=8, width=1 / 16, label_factor=1.0)
        assert folded(network) is not network, name


def test_evaluation_folds_once(counter: CrowdCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(folding, "deepcopy", lambda model: made.append(model) or deepcopy(model))
    samples = [Sample(picture(64, 96, i), np.full((1, 2), 5.0, np.float32), name=str(i)) for i in range(3)]
    results = evaluate(counter, samples, progress=False)
    assert made == [counter]
    for row, sample in zip(results.rows, samples, strict=True):
        assert row.predicted == pytest.approx(float(bare(counter, sample.image).double().sum()), rel=1e-5)


def test_validation_folds_once(counter: CrowdCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast keeps a copy of all weights that it meets, until it ends: one set, not one for each large image."""
    made = []
    monkeypatch.setattr(folding, "deepcopy", lambda model: made.append(model) or deepcopy(model))
    monkeypatch.setattr(prediction, "FOLDED_PIXELS", 0)
    samples = [Sample(picture(64, 96, i), np.full((1, 2), 5.0, np.float32), name=str(i)) for i in range(3)]
    fabric = Hardware(precision="32-true").launch()
    error = counter_training._count_error(counter, samples, fabric)
    assert made == [counter]
    assert error == pytest.approx(np.mean([abs(float(bare(counter, s.image).sum()) - 1) for s in samples]), rel=1e-4)


# --- memory -----------------------------------------------------------------------------------------------------------
def peak() -> int:
    """The most memory that this process has had, in bytes; `getrusage` would count what it was forked from."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def peak_of(fold: bool, out: Path) -> None:
    """Writes by how many bytes a map of 1440 × 1440 pixels raises the memory's peak."""
    torch.set_num_threads(1)
    network, image = CrowdCounter(8, 1 / 4).eval(), picture(1440, 1440)
    bare(network, picture(64, 64))
    before = peak()
    predict_density(network, image) if fold else bare(network, image)
    out.write_text(str(peak() - before))


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from Linux's /proc")
def test_a_folded_counter_needs_less_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers of 16 channels of 4 bytes at every pixel are what the first block would leave."""
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")  # the C library gives back what is freed
    peaks = {}
    for fold in (True, False):
        out = tmp_path / str(fold)
        # A new process: a fork would have the peak of this one.
        process = multiprocessing.get_context("spawn").Process(target=peak_of, args=(fold, out))
        process.start()
        process.join(300)
        assert process.exitcode == 0
        peaks[fold] = int(out.read_text()) / 1440**2
    assert peaks[False] > 2 * 16 * 4
    assert peaks[True] < 0.75 * peaks[False]
