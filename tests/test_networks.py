"""The networks against trusted or plainly written ones: E against torchvision, C and S against a step-by-step sum."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg11_bn, vgg16, vgg16_bn

from sdcda_tutorial import losses
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.networks import (
    CrowdCounter,
    DensityEstimator,
    FeatureDiscriminator,
    FeatureExtractor,
    SemanticExtractor,
    make_counter,
)
from sdcda_tutorial.training.imagenet_weights import load_imagenet_weights


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and every batch-norm statistic a value of its own, so that none is at a harmless 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            fan_in = layer.weight[0].numel()
            nn.init.normal_(layer.weight, std=(2 / fan_in) ** 0.5, generator=generator)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=0.1, generator=generator)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(layer.bias, std=0.3, generator=generator)
            nn.init.normal_(layer.running_mean, std=0.3, generator=generator)
            nn.init.uniform_(layer.running_var, 0.5, 1.5, generator=generator)
    return module


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).relu()


# E: parity with torchvision


@pytest.fixture(scope="module")
def torchvision_vgg() -> nn.Module:
    """vgg16_bn with random features; its classifier (120 million weights that E does not have) holds no values."""
    with torch.device("meta"):
        model = vgg16_bn()
    model.features.to_empty(device="cpu")
    for layer in model.features:
        if isinstance(layer, nn.BatchNorm2d):
            layer.num_batches_tracked.zero_()
    randomise(model.features, seed=1)
    return model.eval()


@pytest.fixture(scope="module")
def weights(torchvision_vgg: nn.Module) -> dict[str, Tensor]:
    return {f"features.{key}": value for key, value in torchvision_vgg.features.state_dict().items()}


@pytest.fixture(scope="module")
def weights_file(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg16_bn.pth"
    torch.save(weights, path)
    return path


def normalised(x: Tensor) -> Tensor:
    """As torchvision's documentation of the weights asks for."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (x - mean[:, None, None]) / std[:, None, None]


@pytest.mark.parametrize(("stride", "last"), [(16, 43), (8, 33)])
def test_e_has_the_layers_of_vgg16_bn(torchvision_vgg: nn.Module, stride: int, last: int) -> None:
    """features[:43] ends with the ReLU of conv5_3, features[:33] with that of conv4_3; no pooling after them."""
    extractor = FeatureExtractor(stride, 1.0)
    theirs = torchvision_vgg.features[:last].state_dict()
    assert {k: v.shape for k, v in extractor.features.state_dict().items()} == {k: v.shape for k, v in theirs.items()}
    assert [type(layer) for layer in extractor.features] == [type(layer) for layer in torchvision_vgg.features[:last]]
    assert isinstance(torchvision_vgg.features[last], nn.MaxPool2d) and extractor.channels == 512


@pytest.mark.parametrize(("stride", "last"), [(16, 43), (8, 33)])
def test_e_with_the_weights_of_vgg16_bn_gives_its_features(
    torchvision_vgg: nn.Module, weights_file: Path, stride: int, last: int
) -> None:
    x = images(1, 3, 48, 64)
    extractor = FeatureExtractor(stride, 1.0).eval()
    load_imagenet_weights(extractor, weights_file)
    with torch.no_grad():
        theirs = torchvision_vgg.features[:last](normalised(x))
        ours = extractor(x)
    assert ours.shape == (1, 512, 48 // stride, 64 // stride) and float(theirs.std()) > 0.01
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_e_copied_by_hand_is_e_loaded_from_the_file(torchvision_vgg: nn.Module, weights_file: Path) -> None:
    copied, loaded = FeatureExtractor(), FeatureExtractor()
    copied.features.load_state_dict(torchvision_vgg.features[:43].state_dict())
    load_imagenet_weights(loaded, str(weights_file))
    for key, value in copied.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


def test_weights_older_than_the_batch_counter_load_too(weights: dict[str, Tensor], tmp_path: Path) -> None:
    """Files of 2017, in the format of then: no num_batches_tracked, which PyTorch 0.4.1 brought."""
    old = {key: value for key, value in weights.items() if "num_batches_tracked" not in key}
    torch.save(old, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    extractor = FeatureExtractor()
    load_imagenet_weights(extractor, tmp_path / "old.pth")
    assert torch.equal(extractor.features[0].weight, weights["features.0.weight"])


def one_line_error(extractor: FeatureExtractor, path: Path) -> str:
    before = extractor.features[0].weight.clone()
    with pytest.raises(InputError) as error:
        load_imagenet_weights(extractor, path)
    assert torch.equal(extractor.features[0].weight, before)  # nothing is half loaded
    message = str(error.value)
    assert str(path) in message and "\n" not in message
    # What to get, where, and both ways on.
    assert "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth" in message
    assert "`vgg_weights`" in message and "`random_weights`" in message and "weights_only" not in message
    return message


def hollow(network: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """A state dict of zeros with the right names and shapes that takes no room."""
    with torch.device("meta"):
        return {key: torch.zeros((), device="cpu").expand(value.shape) for key, value in network().state_dict().items()}


def test_a_wrong_weights_file_is_one_line(tmp_path: Path) -> None:
    extractor = FeatureExtractor()
    one_line_error(extractor, tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("<html>Not found</html>")
    one_line_error(extractor, tmp_path / "text.pth")
    one_line_error(extractor, tmp_path)
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "cut.pth")
    for size in (0, 5000):  # a download that broke off
        os.truncate(tmp_path / "cut.pth", size)
        one_line_error(extractor, tmp_path / "cut.pth")
    complete = hollow(vgg16_bn)
    others = {
        "plain vgg16": hollow(vgg16),
        "vgg11_bn": hollow(vgg11_bn),
        "half": {key: value for key, value in complete.items() if not key.startswith("features.40")},
        "other shape": {**complete, "features.41.bias": torch.zeros(256)},
        "no tensors": dict.fromkeys(complete, 1.0),
        "tensor": torch.zeros(3),
        "list": [1, 2],
    }
    for name, content in others.items():
        torch.save(content, tmp_path / f"{name}.pth")
        message = one_line_error(extractor, tmp_path / f"{name}.pth")
        assert "vgg16_bn" in message and "features." in message
    torch.save(complete, tmp_path / "complete.pth")
    load_imagenet_weights(extractor, tmp_path / "complete.pth")  # what all of the above were one step away from
    assert not extractor.features[0].weight.any()


def test_without_a_network_the_way_round_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("[Errno -3] Temporary failure in name resolution")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(
        InputError, match=r"name resolution.*; download https:.*/vgg16_bn-6c64b313\.pth on .*`vgg_weights`"
    ):
        load_imagenet_weights(FeatureExtractor())


def test_imagenet_weights_fit_full_width_only(weights_file: Path) -> None:
    with pytest.raises(InputError, match=r"0\.25"):
        load_imagenet_weights(FeatureExtractor(16, 0.25), weights_file)


def test_the_normalisation_travels_with_the_checkpoint() -> None:
    state = FeatureExtractor(8, 0.1).state_dict()
    torch.testing.assert_close(state["mean"].flatten(), torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(state["std"].flatten(), torch.tensor([0.229, 0.224, 0.225]))


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize(("width", "channels"), [(1.0, 512), (0.25, 128), (0.001, 1)])
def test_the_width_scales_every_layer(stride: int, width: float, channels: int) -> None:
    extractor = FeatureExtractor(stride, width).eval()
    convolutions = [layer for layer in extractor.features if isinstance(layer, nn.Conv2d)]
    first = max(1, round(64 * width))
    assert convolutions[0].out_channels == first and extractor.channels == convolutions[-1].out_channels == channels
    if width < 1:
        f = extractor(images(2, 3, 32, 48))
        assert f.shape == (2, channels, 32 // stride, 48 // stride) and float(f.detach().min()) >= 0


@pytest.mark.parametrize("stride", [4, 32, 0])
def test_the_stride_is_8_or_16(stride: int) -> None:
    with pytest.raises(ValueError, match="16 or 8"):
        FeatureExtractor(stride)


# C


def plain_c(c: DensityEstimator, f: Tensor) -> Tensor:
    """As the text says it: each convolution followed by an up-sampling, then 1×1 at full size; before the ReLU."""

    def conv_bn_relu(block: nn.Sequential, x: Tensor) -> Tensor:
        conv, bn = block[0], block[1]
        x = F.conv2d(x, conv.weight, padding=conv.weight.shape[-1] // 2)
        return torch.relu(F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias))

    for block in c.convolutions:
        f = F.interpolate(conv_bn_relu(block, f), scale_factor=2, mode="bilinear", align_corners=False)
    if c.refine is not None:
        f = conv_bn_relu(c.refine, f)
    return F.conv2d(f, c.head.weight, c.head.bias)


@pytest.mark.parametrize("kernels", ["paper", "authors"])
@pytest.mark.parametrize("stride", [8, 16])
def test_c_agrees_with_the_plain_order(stride: int, kernels: str) -> None:
    """In particular, its last up-sampling on one channel is the one on all channels."""
    c = randomise(DensityEstimator(32, stride, kernels), seed=2).double().eval()
    f = features(2, 32, 3, 4).double()
    with torch.no_grad():
        c.head.bias -= plain_c(c, f).median()  # half above the kink of the ReLU, half below
        ours, plain = c(f), plain_c(c, f).relu()
    assert ours.shape == (2, 1, 3 * stride, 4 * stride) and 0.4 < float((ours > 0).double().mean()) < 0.6
    torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("kernels", "stride", "sizes", "channels"),
    [
        ("paper", 16, [3, 3, 3, 3], [512, 256, 128, 64, 32]),
        ("paper", 8, [3, 3, 3], [512, 256, 128, 64]),
        ("authors", 16, [1, 9, 7, 5], [512, 256, 128, 64, 32]),
        ("authors", 8, [1, 9, 7], [512, 256, 128, 64]),
    ],
)
def test_the_kernels_of_c(kernels: str, stride: int, sizes: list[int], channels: list[int]) -> None:
    with torch.device("meta"):
        c = DensityEstimator(512, stride, kernels)
    convolutions = [block[0] for block in c.convolutions]
    assert [conv.kernel_size for conv in convolutions] == [(size, size) for size in sizes]
    assert [convolutions[0].in_channels, *(conv.out_channels for conv in convolutions)] == channels
    assert c.head.kernel_size == (1, 1) and c.head.out_channels == 1
    if kernels == "authors":
        assert c.refine is not None and c.refine[0].kernel_size == (3, 3) and c.refine[0].out_channels == channels[-1]
    else:
        assert c.refine is None


def test_other_kernels_of_c_raise() -> None:
    with pytest.raises(ValueError, match="paper"):
        DensityEstimator(32, 8, "mine")


@pytest.mark.parametrize("kernels", ["paper", "authors"])
def test_c_starts_small_but_not_dead(kernels: str) -> None:
    """At the start nearly every pixel is above the kink of the ReLU, or the decoder could stay at zero for ever."""
    torch.manual_seed(0)
    start = DensityEstimator(64, 8, kernels)(features(2, 64, 4, 5)).detach()
    assert float((start > 0).float().mean()) > 0.5 and float(start.max()) < 0.5


# E and C, the counter


def lively(counter: CrowdCounter) -> CrowdCounter:
    """Random, but with a density above zero everywhere, so that comparing maps compares something."""
    randomise(counter)
    with torch.no_grad():
        counter.C.head.weight.abs_()
        counter.C.head.bias.abs_()
    return counter.eval()


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("size", [(32, 48), (33, 47), (1, 1), (7, 50), (16, 31), (24, 40)])
def test_the_map_has_the_size_of_the_image(stride: int, size: tuple[int, int]) -> None:
    counter = lively(CrowdCounter(stride, 0.05))
    with torch.no_grad():
        density = counter(images(2, 3, *size))
    assert density.shape == (2, 1, *size) and density.dtype == torch.float32
    assert float(density.min()) > 0 and bool(density.isfinite().all())


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("size", [(41, 37), (40, 37), (33, 48)])
def test_an_odd_image_is_its_padded_image_cropped(stride: int, size: tuple[int, int]) -> None:
    """Repeat the last row and column by hand up to a multiple: the same map, and not a row or column shifted."""
    counter = lively(CrowdCounter(stride, 0.1))
    x = images(1, 3, *size)
    rows, columns = (torch.arange(math.ceil(side / stride) * stride).clamp(max=side - 1) for side in size)
    with torch.no_grad():
        padded = counter(x[:, :, rows][..., columns])
        assert torch.equal(counter(x), padded[..., : size[0], : size[1]])
        assert float(padded.std()) > 0


def test_a_crop_sees_what_the_image_sees() -> None:
    """Far from its borders a crop at a multiple of the stride has the image's density: nothing looks at the whole."""
    counter = lively(CrowdCounter(8, 0.05)).double()
    x = images(1, 3, 288, 272).double()
    with torch.no_grad():
        whole, crop = counter(x), counter(x[..., 24:264, 16:240])
    # conv4_3 sees 92 px, C another 40: beyond 80 px from the crop's borders nothing can differ.
    inner = crop[..., 80:160, 80:144]
    torch.testing.assert_close(inner, whole[..., 104:184, 96:160], rtol=1e-5, atol=1e-10)
    assert float(inner.std()) > 1e-6


def test_the_label_factor_is_undone() -> None:
    ten, hundred = CrowdCounter(8, 0.1, label_factor=10.0), CrowdCounter(8, 0.1, label_factor=100.0)
    hundred.load_state_dict(lively(ten).state_dict())
    hundred.eval()
    x = images(1, 3, 24, 32)
    with torch.no_grad():
        torch.testing.assert_close(ten(x), 10 * hundred(x))
        torch.testing.assert_close(ten(x), ten.C(ten.E(x)) / 10)  # inside, the networks speak in label units
        assert float(ten(x).sum()) > 0


def test_the_architecture_rebuilds_the_counter() -> None:
    counter = CrowdCounter(8, 0.1, "authors", 10.0)
    again = make_counter(**counter.architecture)
    again.load_state_dict(counter.state_dict())
    x = images(1, 3, 16, 24)
    assert torch.equal(again.eval()(x), counter.eval()(x))


# S


def plain_pool(f: Tensor, grid: int) -> Tensor:
    """Cell (i, j) is the mean from floor(i h / grid) to ceil((i + 1) h / grid), and alike along the width."""
    height, width = f.shape[-2:]
    cells = f.new_zeros(*f.shape[:2], grid, grid)
    for i in range(grid):
        for j in range(grid):
            rows = slice(i * height // grid, -(-(i + 1) * height // grid))
            columns = slice(j * width // grid, -(-(j + 1) * width // grid))
            cells[..., i, j] = f[..., rows, columns].mean(dim=(2, 3))
    return cells


def plain_resize(f: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, pixel by pixel: centres at 0.5, 1.5, …; beyond the outermost centres the border value."""
    height, width = f.shape[-2:]
    resized = f.new_zeros(*f.shape[:2], *size)
    for i in range(size[0]):
        for j in range(size[1]):
            y = max((i + 0.5) * height / size[0] - 0.5, 0)
            x = max((j + 0.5) * width / size[1] - 0.5, 0)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            a, b = y - top, x - left
            resized[..., i, j] = (1 - a) * ((1 - b) * f[..., top, left] + b * f[..., top, right]) + a * (
                (1 - b) * f[..., bottom, left] + b * f[..., bottom, right]
            )
    return resized


def plain_s(s: SemanticExtractor, f: Tensor) -> Tensor:
    def bn_relu(bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
        mean, var, weight, bias = (v[:, None, None] for v in (bn.running_mean, bn.running_var, bn.weight, bn.bias))
        return ((x - mean) / (var + bn.eps).sqrt() * weight + bias).clamp(min=0)

    size = (f.shape[2], f.shape[3])
    levels = [f]
    for grid, (conv, bn, _) in zip(s.bins, s.pyramid, strict=True):
        projected = torch.einsum("oc,bchw->bohw", conv.weight[:, :, 0, 0], plain_pool(f, grid))
        levels.append(plain_resize(bn_relu(bn, projected), size))
    conv, bn, _, _, last = s.fuse
    fused = bn_relu(bn, F.conv2d(torch.cat(levels, 1), conv.weight, padding=1))
    logits = torch.einsum("oc,bchw->bohw", last.weight[:, :, 0, 0], fused) + last.bias[:, None, None]
    return plain_resize(logits, (size[0] * s.stride, size[1] * s.stride))


@pytest.mark.parametrize(
    ("stride", "bins", "size"),
    [(16, (1, 2, 3, 6), (4, 7)), (8, (1, 2, 3, 6), (6, 12)), (8, (1, 2, 4, 6), (8, 5)), (16, (1, 2, 3, 6), (2, 3))],
)
def test_s_agrees_with_a_plain_pyramid(stride: int, bins: tuple[int, ...], size: tuple[int, int]) -> None:
    s = randomise(SemanticExtractor(12, stride, bins), seed=3).double().eval()
    f = features(2, 12, *size).double()
    with torch.no_grad():
        ours, plain = s(f), plain_s(s, f)
    assert ours.shape == (2, 1, size[0] * stride, size[1] * stride)
    assert float(plain.min()) < 0 and float(plain.std()) > 0.1  # logits, not probabilities
    torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-9)


def test_s_is_pspnets_pyramid() -> None:
    with torch.device("meta"):
        s = SemanticExtractor(512, 16)
    assert s.bins == (1, 2, 3, 6)
    assert [(branch[0].in_channels, branch[0].out_channels) for branch in s.pyramid] == [(512, 128)] * 4
    assert s.fuse[0].in_channels == 1024 and s.fuse[0].kernel_size == (3, 3)


def test_s_knows_the_whole_image() -> None:
    """The 1×1 grid carries news from one corner to the other, which its 3×3 convolution alone could not."""
    s = randomise(SemanticExtractor(8, 8)).eval()
    f = features(1, 8, 12, 12)
    changed = f.clone()
    changed[..., 0, 0] += 50
    with torch.no_grad():
        difference = (s(changed) - s(f)).abs()
    assert float(difference[..., -8:, -8:].min()) > 0


def test_s_needs_two_images_while_training() -> None:
    s = SemanticExtractor(8, 8)
    with pytest.raises(ValueError, match="2 images per batch"):
        s(features(1, 8, 6, 6))
    assert s(features(2, 8, 6, 6)).shape == (2, 1, 48, 48)
    assert s.eval()(features(1, 8, 6, 6)).shape == (1, 1, 48, 48)


# D


def test_d_shrinks_a_crop_of_the_paper_to_two_logits() -> None:
    """30×40 → 15×20 → 7×10 → 3×5 → 1×2 with four convolutions 4×4 of stride 2."""
    d = FeatureDiscriminator(16, 0.25)
    sizes = []
    x = features(2, 16, 30, 40)
    for layer in d.layers:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            assert (layer.kernel_size, layer.stride) == ((4, 4), (2, 2))
            sizes.append(tuple(x.shape[1:]))
    assert sizes == [(16, 15, 20), (32, 7, 10), (64, 3, 5), (1, 1, 2)]
    torch.testing.assert_close(d(features(2, 16, 30, 40)), x)
    assert float(x.detach().min()) < 0 or float(x.detach().max()) > 1  # logits


def test_d_at_full_width() -> None:
    with torch.device("meta"):
        d = FeatureDiscriminator(512)
    convolutions = [layer for layer in d.layers if isinstance(layer, nn.Conv2d)]
    assert [c.in_channels for c in convolutions] == [512, 64, 128, 256] and convolutions[-1].out_channels == 1
    assert [layer.negative_slope for layer in d.layers if isinstance(layer, nn.LeakyReLU)] == [0.2] * 3
    assert isinstance(d.layers[-1], nn.Conv2d)  # neither a sigmoid nor a slope after the logits


@pytest.mark.parametrize(("height", "width"), [(16, 16), (31, 32), (47, 20)])
def test_d_divides_by_sixteen_rounded_down(height: int, width: int) -> None:
    assert FeatureDiscriminator(4, 0.1)(features(1, 4, height, width)).shape == (1, 1, height // 16, width // 16)


# All of them together


@pytest.mark.parametrize("kernels", ["paper", "authors"])
@pytest.mark.parametrize("stride", [8, 16])
def test_gradients_reach_every_parameter(stride: int, kernels: str) -> None:
    """In evaluation mode, where batch norm cancels no bias and dropout drops no channel."""
    counter = randomise(CrowdCounter(stride, 1 / 16, kernels), seed=5).eval()
    s = randomise(SemanticExtractor(counter.E.channels, stride), seed=6).eval()
    d = randomise(FeatureDiscriminator(counter.E.channels, 1 / 8), seed=7).eval()
    side = 16 * stride
    x = images(2, 3, side, side)
    f = counter.E(x)
    z = (images(2, 1, side, side, seed=1) > 0.5).float()
    loss = losses.total_loss(
        losses.density_loss(counter.C(f), images(2, 1, side, side, seed=2)),
        losses.LossWeights(1.0, 1.0, 1.0),
        seg_source=losses.source_segmentation_loss(s(f), z),
        seg_target=losses.target_segmentation_loss(s(f), z),
        adversarial=losses.adversarial_loss(d(f)),
    )
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    for network in (counter, s, d):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
            assert bool(parameter.grad.any()), f"{type(network).__name__}: no gradient reaches {name}"


@pytest.mark.parametrize("part", ["density", "segmentation", "domain"])
def test_every_loss_reaches_the_features(part: str) -> None:
    """Eq. 5 is minimised over θe through each of its parts: C, S and D all hand gradients on to E."""
    f = features(2, 16, 16, 16).requires_grad_()
    if part == "density":
        value = losses.density_loss(randomise(DensityEstimator(16, 8))(f), torch.ones(2, 1, 128, 128))
    elif part == "segmentation":
        logits = randomise(SemanticExtractor(16, 8))(f)
        value = losses.target_segmentation_loss(logits, torch.zeros_like(logits))
    else:
        value = losses.adversarial_loss(randomise(FeatureDiscriminator(16, 0.25))(f))
    value.backward()
    assert f.grad is not None and bool(f.grad.isfinite().all())
    assert float(f.grad.ne(0).float().mean()) > 0.9
