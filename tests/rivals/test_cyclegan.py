"""CycleGAN's networks by size, field and gradient; its losses and the image pool by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from sdcda_tutorial.rivals import cyclegan_losses as losses
from sdcda_tutorial.rivals.cyclegan import Discriminators, Generator, Generators, ImagePool, PatchDiscriminator
from sdcda_tutorial.rivals.cyclegan_losses import TranslationWeights


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def livelier(network: nn.Module) -> nn.Module:
    """With CycleGAN's start, of std 0.02, a narrow network says next to nothing."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    return network


# --- networks ---------------------------------------------------------------------------------------------------------
def test_the_paper_size_has_the_parameters_that_arithmetic_gives() -> None:
    """The published 11.378 and 2.765 million, less the biases that a norm undoes."""
    with torch.device("meta"):
        networks = Generator(), PatchDiscriminator()
    found = [sum(p.numel() for p in network.parameters()) for network in networks]
    ends, halves, blocks = 2 * 3 * 64 * 49 + 3, 2 * 9 * (64 * 128 + 128 * 256), 2 * 9 * 9 * 256**2
    assert found[0] == ends + halves + blocks == 11_378_179 - (64 + 128 + 256 + 2 * 9 * 256 + 128 + 64)
    middle = 16 * (64 * 128 + 128 * 256 + 256 * 512)
    assert found[1] == (3 * 64 * 16 + 64) + middle + (512 * 16 + 1) == 2_764_737 - (128 + 256 + 512)


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (5, 6), (24, 41)])
def test_a_translation_has_the_size_of_the_image(size: tuple[int, int]) -> None:
    x = images(2, 3, *size)
    generator = livelier(Generator(1, 1 / 16))
    with torch.no_grad():
        made = generator(x)
        rows, columns = (torch.arange(-(-side // 4) * 4).clamp(max=side - 1) for side in size)
        padded = generator(x[:, :, rows][..., columns])
    assert made.shape == x.shape and made.dtype == torch.float32
    assert 0 <= float(made.min()) < float(made.max()) <= 1
    assert torch.equal(made, padded[..., : size[0], : size[1]])


def test_a_discriminator_judges_patches_of_70_pixels() -> None:
    discriminator = livelier(PatchDiscriminator(1 / 16))
    for name, layer in list(discriminator.layers.named_children()):
        if isinstance(layer, nn.GroupNorm):  # which looks at the whole image; the convolutions are meant
            setattr(discriminator.layers, name, nn.Identity())
    x = images(1, 3, 144, 160).requires_grad_()
    logits = discriminator(x)
    logits[0, 0, 8, 9].backward()
    assert x.grad is not None
    for dim in (2, 3):
        seen = x.grad.abs().sum(dim=tuple({0, 1, 2, 3} - {dim})).nonzero().flatten()
        assert len(seen) == 70 == int(seen[-1] - seen[0]) + 1


@pytest.mark.parametrize("size", [(24, 24), (31, 40), (70, 70), (256, 128)])
def test_the_discriminator_gives_a_logit_for_8_pixels(size: tuple[int, int]) -> None:
    with torch.no_grad():
        assert PatchDiscriminator(1 / 16)(images(1, 3, *size)).shape == (1, 1, size[0] // 8 - 2, size[1] // 8 - 2)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels last"])
@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_the_gradient_for_one_image_is_right_in_either_layout(kind: str, layout: torch.memory_format) -> None:
    """Against float64: with `nn.InstanceNorm2d` it was off by more than its own length in channels_last."""
    x, network = images(1, 3, 32, 32), Generator(1, 0.25) if kind == "generator" else PatchDiscriminator(0.25)
    for part in list(network.modules()):
        for name, layer in part.named_children():
            if isinstance(layer, nn.ReLU | nn.LeakyReLU):  # rounding may put a number on the other side of their kink
                setattr(part, name, nn.Softplus())
    exact = copy.deepcopy(network).double()
    network = network.to(memory_format=layout)
    for one in (network, exact):
        made = one(x.to(next(one.parameters()).dtype))
        (made * torch.linspace(1, 9, made.numel()).view_as(made).sin()).sum().backward()
    for found, expected in zip(network.parameters(), exact.parameters(), strict=True):
        assert found.grad is not None and expected.grad is not None
        assert float((found.grad - expected.grad).norm()) < 1e-4 * float(expected.grad.norm())


def test_the_six_images_of_a_step() -> None:
    generators = livelier(Generators(1, 1 / 16))
    xs, xt = images(1, 3, 16, 16), images(1, 3, 16, 16, seed=1)
    with torch.no_grad():
        made = generators(xs, xt)
        forth, back = generators.to_target, generators.to_source
        wanted = {
            "s_to_t": forth(xs), "t_to_s": back(xt),
            "s_cycle": back(forth(xs)), "t_cycle": forth(back(xt)),
            "s_same": back(xs), "t_same": forth(xt),
        }  # fmt: skip
    assert made.keys() == wanted.keys()
    for name, image in wanted.items():
        torch.testing.assert_close(made[name], image, msg=name, atol=1e-4, rtol=0)  # a batch of two sums otherwise


def test_gradients_reach_every_parameter() -> None:
    generators, discriminators = livelier(Generators(1, 1 / 8)), livelier(Discriminators(1 / 8))
    xs, xt = images(1, 3, 32, 32), images(1, 3, 32, 32, seed=1)
    made = generators(xs, xt)
    loss = losses.structure_loss(made["s_cycle"], xs) + losses.structure_loss(made["t_cycle"], xt)
    loss = loss + losses.fooling_loss(discriminators.of_target(made["s_to_t"]))
    (loss + losses.fooling_loss(discriminators.of_source(made["t_to_s"]))).backward()
    for network in (generators, discriminators):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
            assert bool(parameter.grad.any()), f"no gradient reaches {name}"


# --- losses -----------------------------------------------------------------------------------------------------------
def test_the_adversarial_losses_by_hand() -> None:
    def logits(*values: float) -> Tensor:
        return torch.tensor(values, dtype=torch.float32)[None, None, None]

    assert float(losses.fooling_loss(logits(0, 1, 3))) == pytest.approx((1 + 0 + 4) / 3)
    assert float(losses.patch_loss(logits(1, 0), logits(0, 2))) == pytest.approx(0.5 * (1 / 2) + 0.5 * (4 / 2))
    assert float(losses.patch_loss(logits(0.5), logits(0.5))) == 0.25


def test_the_reconstruction_loss_is_in_units_of_half_the_range() -> None:
    x = torch.full((1, 3, 4, 4), 0.75)
    made = x.clone()
    made[..., :2] = 0.25  # half of the pixels are wrong by 0.5, which is 1 where images are in [-1, 1]
    assert float(losses.reconstruction_loss(made, x)) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="shapes differ"):
        losses.reconstruction_loss(made[:, :1], x)


def test_the_structure_loss_by_hand() -> None:
    """Of two flat images only the means differ: SSIM = (2ab + C1) / (a² + b² + C1) with C1 = 0.01²."""
    a, b = torch.full((2, 3, 16, 16), 0.2), torch.full((2, 3, 16, 16), 0.6)
    assert float(losses.structure_loss(a, b)) == pytest.approx(1 - 0.2401 / 0.4001, abs=3e-4)
    x = images(1, 3, 16, 16)
    assert float(losses.structure_loss(x, x)) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="shapes differ"):
        losses.structure_loss(x[..., :12], x)


def test_the_structure_loss_is_differentiable() -> None:
    """Its gradient is that of finite differences, and a step against it brings back what was blurred."""
    x = images(1, 3, 12, 13)
    cycle = (0.5 * x + 0.25).requires_grad_()
    before = losses.structure_loss(cycle, x)
    (gradient,) = torch.autograd.grad(before, cycle)
    direction = images(1, 3, 12, 13, seed=1) - 0.5
    with torch.no_grad():
        ends = [float(losses.structure_loss(cycle + h * direction, x)) for h in (1e-3, -1e-3)]
        assert (ends[0] - ends[1]) / 2e-3 == pytest.approx(float((gradient * direction).sum()), rel=1e-2)
        assert float(losses.structure_loss(cycle - 0.1 * gradient / gradient.abs().max(), x)) < float(before)


def test_the_total_by_hand() -> None:
    terms = {name: torch.tensor(value) for name, value in
             {"fooling": 1.0, "cycle": 2.0, "identity": 3.0, "structure": 4.0}.items()}  # fmt: skip
    assert float(losses.generator_loss(terms, TranslationWeights(10, 0.5, 0.25))) == 1 + 20 + 15 + 1
    del terms["structure"]
    assert float(losses.generator_loss(terms, TranslationWeights())) == 36
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="cycle"):
            TranslationWeights(cycle=wrong)


# --- the pool ---------------------------------------------------------------------------------------------------------
def numbered(*numbers: int) -> Tensor:
    """Images that are all one number, (B, 3, 2, 2)."""
    return torch.tensor(numbers, dtype=torch.float32)[:, None, None, None].expand(-1, 3, 2, 2)


def numbers_in(x: Tensor) -> list[int]:
    return [int(image[0, 0, 0]) for image in x]


def test_the_pool_loses_no_image_and_shows_old_ones_half_of_the_time() -> None:
    pool = ImagePool(5, (2, 2))
    assert numbers_in(pool.exchange(numbered(0, 1, 2))) == [0, 1, 2]  # there is room
    assert numbers_in(pool.exchange(numbered(3, 4))) == [3, 4] and numbers_in(pool.images) == [0, 1, 2, 3, 4]
    torch.manual_seed(0)
    shown, old = [], 0
    for number in range(5, 405):
        shown += numbers_in(pool.exchange(numbered(number)))
        old += shown[-1] != number
    assert sorted(shown + numbers_in(pool.images)) == list(range(405))
    assert 160 < old < 240
    first_ages = [number - position - 5 for position, number in enumerate(shown)]
    assert min(first_ages) < -20 and max(first_ages) == 0  # any place may be taken, so some wait long


def test_a_pool_without_room_hands_through() -> None:
    assert numbers_in(ImagePool(0, (2, 2)).exchange(numbered(7, 8))) == [7, 8]


def test_what_the_pool_shows_has_no_way_back_and_is_its_own() -> None:
    pool = ImagePool(2, (2, 2))
    made = numbered(1).clone().requires_grad_()
    shown = pool.exchange(made)
    assert not shown.requires_grad
    shown.zero_()
    assert numbers_in(made) == [1] and numbers_in(pool.images[:1]) == [1]


def test_a_pool_goes_on_from_its_state() -> None:
    pool, again = ImagePool(3, (2, 2)), ImagePool(3, (2, 2))
    pool.exchange(numbered(1, 2, 3, 4))
    again.load_state_dict(pool.state_dict())
    for one in (pool, again):
        torch.manual_seed(3)
        one.exchange(numbered(*range(10, 30)))
    assert torch.equal(pool.images, again.images) and int(again.held) == 3
