"""Tiles give the map of the whole image, no pass is larger than asked for, and nothing of a photograph is lost."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from native_files import complaint
from PIL import Image
from torch import Tensor, nn

from sdcda_tutorial import prediction as inference
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.evaluation import evaluate, overlay
from sdcda_tutorial.folding import folded
from sdcda_tutorial.networks import CrowdCounter, FeatureExtractor, SemanticExtractor, image_batch
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.rivals.cyclegan import Generator
from sdcda_tutorial.rivals.translated_source import translated_image
from sdcda_tutorial.tiling import is_local, reach, tiles
from sdcda_tutorial.training import mask_model as segmentation
from sdcda_tutorial.training.hardware import recompute_activations

NETWORKS = list(itertools.product((8, 16), ("paper", "authors")))


def counter(stride: int, kernels: str, width: float = 1 / 32) -> CrowdCounter:
    """A counter whose batch norms have seen something, and whose map shows what its layers see."""
    torch.manual_seed(0)
    network = CrowdCounter(stride, width, kernels, label_factor=1.0)
    nn.init.ones_(network.C.head.weight)  # it starts close to zero, where every map is flat
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the statistics are those of what it saw, with no rest of its start
    with torch.no_grad():
        for _ in range(5):
            network(torch.rand(2, 3, 64, 64))
    return network.eval()


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def difference(seen: Tensor, whole: Tensor) -> float:
    """The largest, relative to the largest value of the map."""
    assert seen.shape == whole.shape and seen.dtype == torch.float32
    return float((seen - whole).abs().max() / whole.abs().max())


# --- the receptive field ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("stride", "kernels"), NETWORKS)
def test_the_reach_by_hand(stride: int, kernels: str) -> None:
    """From the map back: half a kernel for a convolution, m -> m // 2 + 1 for an up-sampling, 2 m for a pooling."""
    # "paper": 0 -> 1 + 1 -> 2 + 1 -> 2 + 1, and so on; "authors": 1 -> 1 (+ 2 -> 2) + 3 -> 3 + 4 -> 4 + 0
    decoder = {"paper": 3, "authors": 4}[kernels]
    if stride == 8:
        wanted = ((decoder + 3) * 2 + 3) * 2 * 2 + 2 * 2 + 2  # conv4, pool, conv3, pool, conv2, pool, conv1
    else:
        wanted = (((decoder + 3) * 2 + 3) * 2 + 3) * 2 * 2 + 2 * 2 + 2
    assert reach(counter(stride, kernels)) == math.ceil(wanted / stride) * stride


@pytest.mark.parametrize(("stride", "kernels"), NETWORKS)
@pytest.mark.parametrize("sideways", [False, True])
def test_a_tile_depends_on_its_reach_and_on_no_stride_less(stride: int, kernels: str, sideways: bool) -> None:
    """A pixel that is no number spoils all that depends on it."""
    network = counter(stride, kernels).double()
    margin = reach(network)
    start, length = margin + stride, 2 * stride  # of the tile

    def spoils(position: int) -> bool:
        x = torch.rand(1, 3, stride, 2 * margin + 4 * stride, dtype=torch.float64)
        x[..., position] = torch.nan
        with torch.no_grad():
            seen = network(x.transpose(2, 3) if sideways else x)[0, 0]
        return bool((seen.T if sideways else seen)[:, start : start + length].isnan().any())

    assert not spoils(start - margin - 1) and spoils(start - margin + stride - 1)
    assert not spoils(start + length + margin) and spoils(start + length + margin - stride)


# --- tiles ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("size", "side", "margin"), [((37, 53), 16, 8), ((16, 32), 16, 160), ((17, 1), 8, 0), ((1, 1), 8, 8)]
)
def test_tiles_cover_every_pixel_once_and_lie_where_they_say(size: tuple[int, int], side: int, margin: int) -> None:
    pixels, covered = np.arange(size[0] * size[1]).reshape(size), np.zeros(size, int)
    for tile, seen, tile_in_seen in tiles(size, side, margin):
        covered[tile] += 1
        assert np.array_equal(pixels[seen][tile_in_seen], pixels[tile])
        assert all(edges.start % side == 0 and edges.stop - edges.start <= side for edges in tile)
        assert all(s.start == max(0, t.start - margin) for s, t in zip(seen, tile, strict=True))
    assert (covered == 1).all()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pixels of what E sees, pass by pass. (A hook would tell too, but keeps a counter from being seen in tiles.)"""
    pixels: list[int] = []
    forward = FeatureExtractor.forward

    def note(E: FeatureExtractor, x: Tensor) -> Tensor:
        pixels.append(x.shape[2] * x.shape[3])
        return forward(E, x)

    monkeypatch.setattr(FeatureExtractor, "forward", note)
    return pixels


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "kernels"), NETWORKS)
@pytest.mark.parametrize("strides", [(25.7, 25.2), (10.2, 63.8), (62.7, 10.2)])
def test_tiles_give_the_map_of_the_whole_image(
    stride: int, kernels: str, strides: tuple[float, float], seen: list[int]
) -> None:
    """No side is a multiple of the stride; of the last tiles of a row a few pixels are left."""
    size = (int(strides[0] * stride), int(strides[1] * stride))
    network, image = counter(stride, kernels), picture(*size)
    seen.clear()  # of what `counter` has done
    whole = predict_density(network, image)
    assert len(seen) == 1
    for side in (4 * stride, 5 * stride):
        seen.clear()
        at_most = (side + 2 * reach(network)) ** 2
        assert difference(predict_density(network, image, at_most), whole) < 1e-4
        assert len(seen) == math.ceil(size[0] / side) * math.ceil(size[1] / side)
        assert max(seen) <= at_most < size[0] * size[1]


def test_an_image_smaller_than_a_tile() -> None:
    network = counter(8, "paper")
    for size in [(1, 1), (3, 41), (8, 8)]:
        image = picture(*size)
        assert difference(predict_density(network, image, 1), predict_density(network, image)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "kernels"), NETWORKS)
def test_with_half_the_margin_the_map_is_another(stride: int, kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = counter(stride, kernels), picture(24 * stride + 7, 25 * stride + 3)
    whole, half = predict_density(network, image), reach(network) // 2 // stride * stride
    monkeypatch.setattr(inference, "reach", lambda _: half)
    assert difference(predict_density(network, image, (4 * stride + 2 * half) ** 2), whole) > 1e-4


def test_a_network_of_which_nothing_is_known_sees_the_whole_image() -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean(dim=(1, 2, 3), keepdim=True).expand(-1, 1, *x.shape[2:])

    image = picture(50, 60)
    assert torch.allclose(predict_density(Mean(), image, 100), torch.tensor(image.mean() / 255, dtype=torch.float32))


def test_the_mask_model_sees_a_large_image_whole_but_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    network = counter(8, "paper")
    segmenter = nn.ModuleDict({"E": network.E, "S": SemanticExtractor(network.E.channels, 8)}).eval()
    seen: list[tuple[int, ...]] = []
    network.E.register_forward_pre_hook(lambda _, x: seen.append(tuple(x[0].shape[2:])))
    image = np.full((300, 200, 3), 128, dtype=np.uint8)
    image[:, 100:] = 20
    full = segmentation.crowd_probability(segmenter, image)
    segmentation.crowd_probability(segmenter, image, 2.0)
    assert seen == [(304, 200), (600, 400)]
    monkeypatch.setattr(segmentation, "MASK_PIXELS", 150 * 100)
    seen.clear()
    segmentation.crowd_probability(segmenter, image, 0.25)
    small = segmentation.crowd_probability(segmenter, image)
    segmentation.crowd_probability(segmenter, image, 2.0)
    assert seen == [(72, 48), (152, 96), (152, 96)]  # multiples of 8 next to half the size
    assert small.shape == full.shape == (300, 200) and small.dtype == np.float32
    assert abs(small - full).mean() < 0.05


# --- what is given ----------------------------------------------------------------------------------------------------
def predictors() -> dict[str, Callable[[Any], Any]]:
    network, generator = counter(8, "paper"), Generator(blocks=1, width=1 / 32).eval()
    segmenter = nn.ModuleDict({"E": network.E, "S": SemanticExtractor(network.E.channels, 8)}).eval()
    return {
        "counter": lambda image: predict_density(network, image),
        "segmenter": lambda image: segmentation.crowd_probability(segmenter, image),
        "generator": lambda image: translated_image(generator, image),
    }


@pytest.mark.parametrize("name", ["counter", "segmenter", "generator"])
def test_a_picture_means_the_same_in_every_form(name: str) -> None:
    predict, image = predictors()[name], picture(40, 56)
    opaque = np.dstack([image, np.full((40, 56), 255, np.uint8)])
    wanted = np.asarray(predict(image))
    assert wanted.std() > 0
    for same in (Image.fromarray(image), torch.from_numpy(image), opaque, image[:, ::-1][:, ::-1]):
        np.testing.assert_array_equal(predict(same), wanted)
    gray = image[..., 0]
    np.testing.assert_array_equal(predict(gray), predict(np.dstack([gray] * 3)))


@pytest.mark.parametrize("name", ["counter", "segmenter", "generator"])
def test_what_could_mean_anything_is_refused_in_one_line(name: str) -> None:
    predict, image = predictors()[name], picture(40, 56)
    floats, deep = image / 255, image.astype(np.uint16) * 257
    for wrong in (
        floats,
        torch.from_numpy(floats),
        deep,
        image.transpose(2, 0, 1),
        image[None],
        image[:0],
        "photo.jpg",
    ):
        complaint(lambda wrong=wrong: predict(wrong), "(H, W, 3) uint8", "(255 * image).round().astype('uint8')")
    for unknown in (Image.fromarray(floats[..., 0].astype(np.float32) * 255), Image.fromarray(deep[..., 0] >> 4)):
        complaint(lambda unknown=unknown: predict(unknown), "the image", "8 bits per colour")
    np.testing.assert_array_equal(predict((255 * floats).round().astype("uint8")), predict(image))  # the remedy


# --- memory -----------------------------------------------------------------------------------------------------------
def count_in_this_process(photos: list[Path], out: Path) -> None:
    """Leaves the memory's peak after each photograph, in bytes."""
    torch.set_num_threads(1)
    network = counter(8, "paper", width=1 / 8)
    for photo in photos:
        overlay.save_overlay(out, photo, network)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        (out / f"{photo.stem}.peak").write_text(str(peak))


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in kB on Linux only")
def test_the_memory_grows_with_a_photograph_and_not_with_what_the_network_makes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen whole, the first convolution would leave 8 channels of 4 bytes a pixel, and its batch norm as many."""
    sizes = {"small": (1824, 2400), "large": (2280, 2736)}  # both are seen in tiles
    sideways = Image.Exif()
    sideways[0x0112] = 6
    for name, (height, width) in sizes.items():
        assert height * width > inference.PASS_PIXELS
        image = Image.fromarray(picture(height // 8, width // 8)).resize((width, height))
        image.save(tmp_path / f"{name}.jpg", exif=sideways)
    (tmp_path / "out").mkdir()
    # glibc keeps freed memory, how much of it depends on what came before; so it gives back all that is large.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    arguments = ([tmp_path / f"{name}.jpg" for name in sizes], tmp_path / "out")
    # A new process: a fork would have the peak of this one.
    process = multiprocessing.get_context("spawn").Process(target=count_in_this_process, args=arguments)
    process.start()
    process.join(300)
    assert process.exitcode == 0 and (tmp_path / "out/large.png").exists()
    peaks = [int((tmp_path / f"out/{name}.peak").read_text()) for name in sizes]
    pixels = [height * width for height, width in sizes.values()]
    assert peaks[1] - peaks[0] < 2 * 8 * 4 * (pixels[1] - pixels[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_refused(dtype: torch.dtype) -> None:
    words = f"the network's weights are {dtype}; give network.float()"
    network, image = counter(8, "paper").to(dtype), picture(40, 48)
    complaint(lambda: predict_density(network, image), words)
    complaint(lambda: predict_density(network, picture(80, 96), pass_pixels=64 * 64), words)  # in tiles
    segmenter = nn.ModuleDict({"E": network.E, "S": SemanticExtractor(network.E.channels, network.E.stride).to(dtype)})
    complaint(lambda: segmentation.crowd_probability(segmenter, image), words)
    complaint(lambda: translated_image(Generator(blocks=1, width=1 / 32).to(dtype), image), words)
    assert predict_density(network.float(), image).dtype == torch.float32


# --- what is not local is seen whole ----------------------------------------------------------------------------------
class Half(CrowdCounter):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 2


def with_a_hook(network: CrowdCounter) -> CrowdCounter:
    network.register_forward_hook(lambda module, inputs, output: output / 2)
    return network


def with_a_forward_in_its_place(network: CrowdCounter) -> CrowdCounter:
    before = network.forward
    network.forward = lambda x: before(x) / 2  # type: ignore[method-assign]
    return network


def with_statistics_of_the_image(network: CrowdCounter) -> CrowdCounter:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    return network


def with_group_norm(network: CrowdCounter) -> CrowdCounter:
    for index, layer in enumerate(network.E.features):
        if isinstance(layer, nn.BatchNorm2d):
            network.E.features[index] = nn.GroupNorm(1, layer.num_features)
    return network


class Residual(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        y = self[0](x)
        return self[2](self[1](y) + y)  # type: ignore[no-any-return]


def with_a_residual_block(network: CrowdCounter) -> CrowdCounter:
    network.C.convolutions[0] = Residual(*network.C.convolutions[0])  # type: ignore[misc, arg-type]
    return network


def with_corners_aligned(network: CrowdCounter) -> CrowdCounter:
    network.C.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    return network


def with_features_of_the_whole(network: CrowdCounter) -> CrowdCounter:
    network.E.register_forward_hook(lambda module, inputs, f: f - f.mean(dim=(2, 3), keepdim=True))
    return network


def with_a_wrapped_layer(network: CrowdCounter) -> CrowdCounter:
    layer = network.E.features[3]
    forward = layer.forward
    layer.forward = lambda x: forward(x)  # as one who notes what it gives
    return network


def with_a_wide_head(network: CrowdCounter) -> CrowdCounter:
    network.C.head = nn.Conv2d(network.C.head.in_channels, 1, 9, padding=4)
    return network


class Adaptive(CrowdCounter):
    """Batch norm over the test image."""

    def forward(self, x: Tensor) -> Tensor:
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.train()
        density = super().forward(x)
        for norm in norms:
            norm.eval()
        return density


class Peeking(CrowdCounter):
    def local(self, x: Tensor) -> Tensor:
        return super().local(x) + self.E.features[0](x).mean()


@pytest.mark.parametrize(
    "change",
    [
        with_a_hook,
        with_corners_aligned,
        with_features_of_the_whole,
        with_a_wrapped_layer,
        with_a_wide_head,
        Adaptive,
        Peeking,
        Half,
        with_a_forward_in_its_place,
        with_statistics_of_the_image,
        with_group_norm,
        with_a_residual_block,
    ],
    ids=lambda change: change.__name__,
)
def test_a_large_image_is_counted_by_the_network_that_was_given(change: Any) -> None:
    network = counter(8, "paper")
    if isinstance(change, type):
        network.__class__ = change
    else:
        network = change(network).eval()
    image = picture(520, 520)  # large enough to be folded
    whole = network(image_batch(image[None])).detach()[0, 0]
    assert difference(predict_density(network, image), whole) < 1e-4
    assert difference(predict_density(network, image, pass_pixels=2**16), whole) < 1e-4


@pytest.mark.parametrize("part", ["", "E", "C", "E.features.3"])
def test_a_wrapped_forward_keeps_its_network_and_its_map(part: str) -> None:
    """A copy of a wrapped network would call the layers of the original, which are not in evaluation mode."""
    network, image = counter(8, "paper"), picture(520, 520)
    whole = network.eval()(image_batch(image[None])).detach()[0, 0]
    wrapped = network.get_submodule(part)
    forward = wrapped.forward
    wrapped.forward = lambda x: forward(x)  # type: ignore[method-assign]
    before = {name: tensor.clone() for name, tensor in network.train().state_dict().items()}
    assert difference(predict_density(network, image), whole) < 1e-4
    found = evaluate(network, [Sample(image)], progress=False).rows[0]
    assert found.predicted == pytest.approx(float(whole.sum()), rel=1e-4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(module.training for module in network.modules())


def test_activations_that_are_computed_again_change_nothing() -> None:
    network, image = counter(8, "paper"), picture(520, 520)
    recompute_activations(network.E)
    assert folded(network) is not network and is_local(network)
    assert difference(predict_density(network, image), predict_density(counter(8, "paper"), image)) < 1e-4


@pytest.mark.parametrize("shape", [(1, 30, 40), (1, 1), (1, 2, 30, 40), (1, 1, 4, 5), (30, 40)])
def test_a_map_of_another_shape_is_not_stretched_over_the_image(shape: tuple[int, ...]) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ones(shape)

    complaint(
        lambda: predict_density(Odd(), picture(30, 40)), f"must give (1, 1, 30, 40), people per pixel, not {shape}"
    )


def test_a_map_is_float32_whatever_the_default_and_of_a_program_too() -> None:
    network, image = counter(8, "paper"), picture(30, 40)
    wanted = predict_density(network, image)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(predict_density(network, image), wanted)
    finally:
        torch.set_default_dtype(torch.float32)
    program = torch.export.export(network, (image_batch(image[None]),)).module()
    assert difference(predict_density(program, image), wanted) < 1e-4


def with_a_wide_layer_in_a_step(network: CrowdCounter) -> None:
    convolution = network.C.convolutions[0]
    assert isinstance(convolution, nn.Sequential)
    channels = convolution[0].out_channels
    wide = nn.Conv2d(channels, channels, 31, padding=15, groups=channels, bias=False)
    nn.init.constant_(wide.weight, 1 / 961)
    convolution.append(wide)


def with_a_head_of_three_layers(network: CrowdCounter) -> None:
    channels = network.C.head.in_channels
    network.C.head = nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))  # type: ignore[assignment]


def with_a_bare_convolution(network: CrowdCounter) -> None:
    network.C.convolutions[1] = network.C.convolutions[1][0]  # type: ignore[index]


@pytest.mark.parametrize("kernels", ["paper", "authors"])
@pytest.mark.parametrize("change", [with_a_wide_layer_in_a_step, with_a_head_of_three_layers, with_a_bare_convolution])
def test_tiles_of_a_changed_C_give_its_map(change: Callable[[CrowdCounter], None], kernels: str) -> None:
    network, image = counter(8, kernels), picture(200, 280)
    change(network)
    network.eval()
    assert is_local(network)
    whole = predict_density(network, image)
    assert difference(predict_density(network, image, pass_pixels=30_000), whole) < 1e-4


def test_a_counter_whose_parts_do_not_fit_is_refused() -> None:
    """E lost a pooling, so C would lead beyond the image, of which the upper left was taken for the map."""
    network, image = counter(8, "paper"), picture(64, 96)
    network.E.features[6] = nn.Identity()
    for pixels in (10**6, 2000):
        with pytest.raises(ValueError, match="not to the size of the image"):
            predict_density(network, image, pass_pixels=pixels)


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_a_label_factor_is_above_zero(factor: float) -> None:
    with pytest.raises(ValueError, match="label_factor is a number above 0"):
        CrowdCounter(8, 1 / 32, label_factor=factor)


@pytest.mark.parametrize(
    ("given", "called"),
    [((torch.ones(1, 1, 30, 40),), "a tuple"), (np.ones((1, 1, 30, 40)), "a ndarray"), ({}, "a dict")],
)
def test_what_is_no_map_is_one_line(given: object, called: str) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> object:
            return given

    complaint(lambda: predict_density(Odd(), picture(30, 40)), "must give (1, 1, 30, 40)", f"not {called}")


def test_threads_that_share_a_network_in_training_mode_count_as_one_does() -> None:
    """One that gives the network its mode back would let another one's batch norm learn from the image it looks at."""
    network, images = counter(8, "paper").train(), [picture(64 + 8 * i, 96) for i in range(8)]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    alone = [float(predict_density(network, image).sum()) for image in images]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda image: float(predict_density(network, image).sum()), images * 8))
    assert together == pytest.approx(alone * 8, rel=1e-4)
    assert network.training and all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
