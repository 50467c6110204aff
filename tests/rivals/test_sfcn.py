"""SFCN: the spatial encoder against a plain nested loop and by hand, the whole network by its shapes and its size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import nn

from sdcda_tutorial.networks import CrowdCounter, FeatureExtractor, make_counter
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.rivals.sfcn import SFCN, SpatialDensityEstimator, SpatialEncoder
from sdcda_tutorial.tiling import reach

T = TypeVar("T", bound=nn.Module)


def randomised(module: T, scale: float = 1.0) -> T:
    """Weights of a size that lets everything be heard; the encoder's own begin almost at zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv1d | nn.Conv2d):
                fan_in = layer.weight[0].numel()
                layer.weight.normal_(0, scale * (2 / fan_in) ** 0.5, generator=generator)
                assert layer.bias is not None
                layer.bias.normal_(0, 0.1, generator=generator)
    return module


def sweeps(height: int, width: int) -> Iterator[tuple[str, list[tuple[tuple[int, int], tuple[int, int]]]]]:
    """The four sweeps in order: which convolution, and pairs (position, the position before it) in order."""
    rows, columns = range(height), range(width)
    yield "over_rows", [((i, j), (i - 1, j)) for i in rows[1:] for j in columns]  # down
    yield "over_rows", [((i, j), (i + 1, j)) for i in rows[-2::-1] for j in columns]  # up
    yield "over_columns", [((i, j), (i, j - 1)) for j in columns[1:] for i in rows]  # to the right
    yield "over_columns", [((i, j), (i, j + 1)) for j in columns[-2::-1] for i in rows]  # to the left


def nested_loops(encoder: SpatialEncoder, f: np.ndarray) -> np.ndarray:
    """One number at a time: (C, h, w) -> (C, h, w)."""
    channels, height, width = f.shape
    h = f.copy()
    for name, moves in sweeps(height, width):
        weight, bias = (p.detach().numpy() for p in getattr(encoder, name).parameters())
        half = weight.shape[2] // 2
        for (i, j), (above, left) in moves:
            for out in range(channels):
                heard = bias[out]
                for channel in range(channels):
                    for k in range(-half, half + 1):  # the neighbours of the position before
                        y, x = (above, left + k) if name == "over_rows" else (above + k, left)
                        if 0 <= y < height and 0 <= x < width:
                            heard += weight[out, channel, k + half] * h[channel, y, x]
                h[out, i, j] += max(0.0, heard)
    return h


@pytest.mark.parametrize("size", [(5, 7), (7, 4), (1, 6), (6, 1), (1, 1), (12, 11)])
def test_the_spatial_encoder_is_the_nested_loop(size: tuple[int, int]) -> None:
    encoder = randomised(SpatialEncoder(2), scale=0.3).double()
    f = torch.randn(2, 2, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        ours = encoder(f)
    theirs = np.stack([nested_loops(encoder, one) for one in f.numpy()])
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-10, atol=1e-12)
    assert size == (1, 1) or np.abs(ours.numpy() - f.numpy()).max() > 0.01


def single(middle_rows: float, middle_columns: float) -> SpatialEncoder:
    """One channel; each position hears only the one straight before it, times a factor."""
    encoder = SpatialEncoder(1, kernel=3)
    with torch.no_grad():
        for convolution, factor in ((encoder.over_rows, middle_rows), (encoder.over_columns, middle_columns)):
            convolution.weight.copy_(torch.tensor([[[0.0, factor, 0.0]]]))
    return encoder


def test_the_spatial_encoder_by_hand() -> None:
    f = torch.tensor([[1.0, 0.0], [2.0, -4.0], [3.0, 1.0]])[None, None]
    # Down: the columns become 1, 3, 6 and 0, -4, 1 (of -4 nothing is heard). Up: 10, 9, 6 and 0, -4 + 1, 1.
    down_up = torch.tensor([[10.0, 0.0], [9.0, -3.0], [6.0, 1.0]])
    torch.testing.assert_close(single(1, 0)(f)[0, 0], down_up)
    # To the right half of the left column is added, to the left half of what the right one has become.
    right = torch.tensor([[10.0, 5.0], [9.0, 1.5], [6.0, 4.0]])
    left = torch.tensor([[12.5, 5.0], [9.75, 1.5], [8.0, 4.0]])
    assert torch.equal(right[:, 1], down_up[:, 1] + 0.5 * right[:, 0])
    torch.testing.assert_close(single(1, 0.5)(f)[0, 0], left)
    torch.testing.assert_close(single(0, 0)(f), f)


def test_every_position_hears_of_every_other() -> None:
    """A pixel that is no number spoils all that hear of it: the dilated convolutions' reach, then the whole map."""
    estimator = SpatialDensityEstimator(16)
    f = torch.rand(1, 16, 32, 40)
    f[..., 31, 39] = torch.nan
    with torch.no_grad():
        local = estimator.back_end(f)
        assert not bool(local[..., :19, :27].isnan().any()) and bool(local[..., 19, 27].isnan().all())  # 6 × 2 pixels
        assert bool(estimator.spatial_encoder(local).isnan().all())


def test_the_paper_size_has_the_parameters_that_arithmetic_gives() -> None:
    def convolution(inputs: int, outputs: int, taps: int = 9) -> int:
        return inputs * outputs * taps + outputs

    vgg = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512]  # to conv4_3
    front_end = sum(convolution(i, o) + 2 * o for i, o in pairwise(vgg))  # with batch norm
    widths = [512, 512, 512, 512, 256, 128, 64]
    back_end = sum(convolution(i, o) for i, o in pairwise(widths))
    with torch.device("meta"):
        counter = SFCN()
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in counter.C.named_children()}
    assert counts == {"back_end": back_end, "spatial_encoder": 2 * convolution(64, 64), "head": 65}
    assert back_end == 8_628_160 and sum(p.numel() for p in counter.E.parameters()) == front_end == 7_640_640
    assert sum(p.numel() for p in counter.parameters()) == 16_342_721


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (1, 1), (7, 50)])
def test_the_map_has_the_size_of_the_image(size: tuple[int, int]) -> None:
    counter = SFCN(1 / 16).eval()
    with torch.no_grad():
        density = counter(torch.rand(2, 3, *size))
    assert density.shape == (2, 1, *size) and density.dtype == torch.float32
    assert bool(density.isfinite().all()) and float(density.min()) > 0  # the decoder begins alive


def test_the_label_factor_is_undone() -> None:
    ten, hundred = SFCN(1 / 16, 10.0).eval(), SFCN(1 / 16, 100.0).eval()
    hundred.load_state_dict(ten.state_dict())
    x = torch.rand(1, 3, 24, 32)
    with torch.no_grad():
        torch.testing.assert_close(ten(x), 10 * hundred(x))


@pytest.mark.parametrize("counter", [SFCN(1 / 16, 10.0), CrowdCounter(16, 1 / 16, "authors", 50.0)])
def test_the_architecture_rebuilds_either_counter(counter: CrowdCounter) -> None:
    again = make_counter(**counter.architecture)
    assert type(again) is type(counter) and again.architecture == counter.architecture
    again.load_state_dict(counter.state_dict())
    x = torch.rand(1, 3, 24, 32)
    with torch.no_grad():
        assert torch.equal(again.eval()(x), counter.eval()(x))


def test_there_is_no_other_counter() -> None:
    with pytest.raises(ValueError, match="stride 8"):
        make_counter("sfcn", stride=16, width=1 / 16, label_factor=10.0)
    with pytest.raises(ValueError, match="no counter 'theirs'"):
        make_counter("theirs", stride=8, width=1 / 16, label_factor=10.0)


def test_gradients_reach_every_parameter() -> None:
    counter = randomised(SFCN(1 / 8), scale=0.5).eval()
    counter(torch.rand(2, 3, 48, 64)).square().sum().backward()
    for name, parameter in counter.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()), f"no gradient reaches {name}"


@pytest.mark.parametrize("size", [(64, 200), (97, 31), (40, 41), (5, 7)])
def test_tiles_give_the_map_of_the_whole_image(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """E and the dilated convolutions see tiles; the encoder, which is not local, sees all that they found at once."""
    counter = randomised(SFCN(1 / 16), scale=0.5).eval()
    with torch.no_grad():
        counter.C.head.weight.abs_()  # what the sweeps bring is not below zero, so the head's ReLU lets it through
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    with torch.no_grad():
        whole = counter(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)[0, 0]
    passes: list[tuple[int, ...]] = []
    forward = FeatureExtractor.forward

    def note(E: FeatureExtractor, x: torch.Tensor) -> torch.Tensor:
        passes.append(tuple(x.shape[2:]))
        return forward(E, x)

    monkeypatch.setattr(FeatureExtractor, "forward", note)
    seen = predict_density(counter, image, pass_pixels=1)
    torch.testing.assert_close(seen, whole, rtol=1e-4, atol=1e-7)
    assert len(passes) == math.ceil(size[0] / 8) * math.ceil(size[1] / 8)
    assert max(max(one) for one in passes) <= 8 + 2 * reach(counter)
    assert isinstance(counter, CrowdCounter) and float(whole.std()) > 0


@pytest.mark.parametrize("sideways", [False, True])
def test_the_features_of_a_tile_depend_on_its_reach_and_on_no_stride_less(sideways: bool) -> None:
    """A pixel that is no number spoils all that depends on it."""
    counter = randomised(SFCN(1 / 16)).eval().double()
    # Six convolutions of dilation 2 at stride 8; conv4, pool, conv3, pool, conv2, pool, conv1.
    margin = reach(counter)
    assert margin == -(-((((2 * 6 + 3) * 2 + 3) * 2 + 2) * 2 + 2) // 8) * 8

    def spoils(position: int) -> bool:
        x = torch.rand(1, 3, 8, 2 * margin + 24, dtype=torch.float64)
        x[..., position] = torch.nan
        with torch.no_grad():
            f = counter.C.back_end(counter.E(x.transpose(2, 3) if sideways else x))[0]
        tile = slice((margin + 8) // 8, (margin + 16) // 8)
        return bool((f[:, tile] if sideways else f[..., tile]).isnan().any())

    assert not spoils(7) and spoils(15)
    assert not spoils(2 * margin + 16) and spoils(2 * margin + 8)
