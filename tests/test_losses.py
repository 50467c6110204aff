"""The equations of the paper, written once more in float64 NumPy with plain logarithms, against the package's."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdcda_tutorial import losses
from sdcda_tutorial.losses import LossWeights

WITH_MASK = [
    losses.source_segmentation_loss,
    losses.masked_prediction,
    losses.target_segmentation_loss,
    losses.target_entropy_loss,
]
ON_LOGITS = [losses.source_segmentation_loss, losses.target_segmentation_loss, losses.target_entropy_loss]


# The paper's formulas; sums over pixels and 1/N over images become means over pixels, as the module says.


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def x_log_y(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x log y with the 0 log 0 = 0 that every cross-entropy means."""
    return x * np.log(np.where(x == 0, 1.0, y))


def cross_entropy(label: np.ndarray, prediction: np.ndarray) -> float:
    """-(z log ẑ + (1 - z) log(1 - ẑ)): Eq. 7 and the form of Eq. 9."""
    return float(np.mean(-(x_log_y(label, prediction) + x_log_y(1 - label, 1 - prediction))))


def h(prob: np.ndarray, z: np.ndarray) -> np.ndarray:  # Eq. 8
    return prob * (1 - z) + z


PAPER: dict[Callable, Callable[[np.ndarray, np.ndarray], float]] = {
    losses.density_loss: lambda pred, truth: float(np.mean((pred - truth) ** 2) / 2),  # Eq. 6
    losses.source_segmentation_loss: lambda x, z: cross_entropy(z, sigmoid(x)),  # Eq. 7
    losses.target_segmentation_loss: lambda x, z: cross_entropy(z, h(sigmoid(x), z)),  # Eq. 8-9
    losses.target_entropy_loss: lambda x, z: cross_entropy(h(sigmoid(x), z), h(sigmoid(x), z)),  # the other reading
    losses.discriminator_loss: lambda s, t: (
        0.5 * (cross_entropy(s * 0 + 1, sigmoid(s)) + cross_entropy(t * 0, sigmoid(t)))
    ),
}


@st.composite
def logits_and_mask(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = (draw(st.integers(1, 3)), 1, draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread, crowd = draw(st.sampled_from([0.1, 1.0, 4.0])), draw(st.sampled_from([0.0, 0.3, 0.9, 1.0]))
    return rng.normal(0, spread, shape), (rng.random(shape) < crowd).astype(np.float64)


few = settings(deadline=None, max_examples=60)


@few
@given(logits_and_mask())
@pytest.mark.parametrize("loss", ON_LOGITS)
def test_segmentation_losses_are_the_papers(loss: Callable, case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, mask = case
    value = loss(torch.from_numpy(logits), torch.from_numpy(mask))
    assert value.shape == () and float(value) == pytest.approx(PAPER[loss](logits, mask), rel=1e-6, abs=1e-12)
    single = loss(torch.from_numpy(logits).float(), torch.from_numpy(mask).float())
    assert float(single) == pytest.approx(PAPER[loss](logits, mask), rel=1e-5, abs=1e-6)


@few
@given(logits_and_mask())
def test_masked_prediction_is_the_papers(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, mask = case
    prob = sigmoid(logits)
    result = losses.masked_prediction(torch.from_numpy(prob), torch.from_numpy(mask))
    np.testing.assert_allclose(result, h(prob, mask), rtol=1e-6)
    np.testing.assert_array_equal(result, np.where(mask == 1, 1.0, prob))  # the prediction is filtered, never scaled


@few
@given(logits_and_mask(), st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("loss", [losses.density_loss, losses.discriminator_loss])
def test_losses_of_two_maps_are_the_papers(loss: Callable, case: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    one = case[0]
    other = np.random.default_rng(seed).normal(0, 2, one.shape)
    value = loss(torch.from_numpy(one), torch.from_numpy(other))
    assert value.shape == () and float(value) == pytest.approx(PAPER[loss](one, other), rel=1e-6)


@few
@given(logits_and_mask())
def test_adversarial_loss_is_the_papers(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, _ = case  # Eq. 10 with the mean over D's output in the place of the sum
    value = losses.adversarial_loss(torch.from_numpy(logits))
    assert value.shape == () and float(value) == pytest.approx(float(np.mean(-np.log(sigmoid(logits)))), rel=1e-6)


# By hand


def row(*values: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype).view(1, 1, 1, -1)


def logit(*probabilities: float) -> torch.Tensor:
    return torch.logit(row(*probabilities))


def test_by_hand() -> None:
    log = math.log
    assert float(losses.density_loss(row(1, 2, 3, 4), row(1, 0, 6, 4))) == pytest.approx((4 + 9) / 2 / 4)
    prob, z = (0.9, 0.2, 0.5, 0.75), row(1, 0, 0, 1)
    x = logit(*prob)
    assert float(losses.source_segmentation_loss(x, z)) == pytest.approx(
        -(log(0.9) + log(0.8) + log(0.5) + log(0.75)) / 4
    )
    np.testing.assert_allclose(losses.masked_prediction(row(*prob), z), row(1, 0.2, 0.5, 1))
    # Only the two pixels of background speak, and all four divide.
    assert float(losses.target_segmentation_loss(x, z)) == pytest.approx(-(log(0.8) + log(0.5)) / 4)
    entropy = -(0.2 * log(0.2) + 0.8 * log(0.8)) + log(2)
    assert float(losses.target_entropy_loss(x, z)) == pytest.approx(entropy / 4)
    assert float(losses.adversarial_loss(logit(0.5, 0.1))) == pytest.approx(-(log(0.5) + log(0.1)) / 2)
    assert float(losses.discriminator_loss(logit(0.9, 0.6), logit(0.2, 0.3))) == pytest.approx(
        -0.5 * ((log(0.9) + log(0.6)) / 2 + (log(0.8) + log(0.7)) / 2)
    )


def test_a_discriminator_that_knows_nothing_costs_log_2() -> None:
    nothing = torch.zeros(2, 1, 3, 5)
    assert float(losses.discriminator_loss(nothing, nothing)) == pytest.approx(math.log(2))
    assert float(losses.adversarial_loss(nothing)) == pytest.approx(math.log(2))
    # Each domain has half the say, whatever the sizes of its maps.
    assert float(losses.discriminator_loss(torch.zeros(1, 1, 1, 2), torch.full((3, 1, 4, 4), 50.0))) == pytest.approx(
        0.5 * math.log(2) + 25
    )


@few
@given(logits_and_mask(), st.integers(2, 4))
def test_means_do_not_depend_on_the_size_of_the_batch_or_the_crop(case, times: int) -> None:
    logits, mask = (torch.from_numpy(a) for a in case)
    for repeats in [(times, 1, 1, 1), (1, 1, times, 1), (1, 1, 1, times)]:
        more, more_mask = logits.repeat(repeats), mask.repeat(repeats)
        for loss in (*ON_LOGITS, losses.density_loss, losses.discriminator_loss):
            torch.testing.assert_close(loss(more, more_mask), loss(logits, mask))
        torch.testing.assert_close(losses.adversarial_loss(more), losses.adversarial_loss(logits))


# Gradients


@few
@given(logits_and_mask())
def test_target_gradient_is_exactly_zero_on_the_crowd_and_the_sigmoid_off_it(case) -> None:
    logits, mask = case
    x = torch.from_numpy(logits).requires_grad_()
    losses.target_segmentation_loss(x, torch.from_numpy(mask)).backward()
    assert x.grad is not None
    gradient = x.grad.numpy()
    assert (gradient[mask == 1] == 0).all()  # exactly
    np.testing.assert_allclose(gradient[mask == 0], (sigmoid(logits) / logits.size)[mask == 0], rtol=1e-6)


@few
@given(logits_and_mask(), st.integers(0, 2**32 - 1))
def test_the_prediction_on_the_crowd_has_no_say_in_the_target_loss(case, seed: int) -> None:
    logits, mask = case
    other = np.where(mask == 1, np.random.default_rng(seed).normal(0, 30, logits.shape), logits)
    z = torch.from_numpy(mask)
    for loss in (losses.target_segmentation_loss, losses.target_entropy_loss):
        assert torch.equal(loss(torch.from_numpy(other), z), loss(torch.from_numpy(logits), z))


def test_on_a_mask_of_background_target_and_source_loss_agree() -> None:
    logits = torch.randn(2, 1, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    background = torch.zeros_like(logits)
    torch.testing.assert_close(
        losses.target_segmentation_loss(logits, background), losses.source_segmentation_loss(logits, background)
    )
    assert float(losses.target_segmentation_loss(logits, background + 1)) == 0


def test_all_gradients_by_differences() -> None:
    generator = torch.Generator().manual_seed(1)
    one, other = torch.randn(2, 2, 1, 3, 4, dtype=torch.float64, generator=generator)
    z = (other > 0).double()
    for loss in ON_LOGITS:
        assert torch.autograd.gradcheck(lambda x, loss=loss: loss(x, z), one.clone().requires_grad_())
    for loss in (losses.density_loss, losses.discriminator_loss):
        assert torch.autograd.gradcheck(loss, (one.clone().requires_grad_(), other.clone().requires_grad_()))
    assert torch.autograd.gradcheck(losses.adversarial_loss, one.clone().requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("z", [0, 1])
@pytest.mark.parametrize("x", [-100.0, 100.0])
def test_extreme_logits_have_finite_losses_and_gradients(x: float, z: int, dtype: torch.dtype) -> None:
    """-log of the probability given to the truth: 100 where it is wrong, 0 where it is right; slopes are ±1 and 0."""
    expected = {
        losses.source_segmentation_loss: 100 if (x > 0) != z else 0,
        losses.target_segmentation_loss: 100 if x > 0 and z == 0 else 0,
        losses.target_entropy_loss: 0,
    }
    for loss, value in expected.items():
        logits = row(x, dtype=dtype).requires_grad_()
        result = loss(logits, row(z, dtype=dtype))
        result.backward()
        assert float(result.detach()) == pytest.approx(value, abs=1e-6), loss.__name__
        slope = math.copysign(1, x) if value else 0
        assert logits.grad is not None and float(logits.grad) == pytest.approx(slope, abs=1e-6), loss.__name__
    logits = row(x, dtype=dtype).requires_grad_()
    total = losses.adversarial_loss(logits) + losses.discriminator_loss(logits, logits)
    total.backward()
    assert float(total.detach()) == pytest.approx(50 + (100 if x < 0 else 0), abs=1e-5)
    assert logits.grad is not None and bool(logits.grad.isfinite().all())


# Directions


@few
@given(st.floats(-8, 8), st.floats(0.01, 5))
def test_discriminator_loss_falls_as_d_gets_it_right(p: float, step: float) -> None:
    source, target = torch.full((1, 1, 2, 2), p, dtype=torch.float64), torch.full((1, 1, 2, 2), -p, dtype=torch.float64)
    before = losses.discriminator_loss(source, target)
    assert losses.discriminator_loss(source + step, target) < before  # source is 1
    assert losses.discriminator_loss(source, target - step) < before  # target is 0


@few
@given(st.floats(-8, 8), st.floats(0.01, 5))
def test_adversarial_loss_falls_as_d_says_source(p: float, step: float) -> None:
    target = torch.full((1, 1, 2, 2), p, dtype=torch.float64)
    assert losses.adversarial_loss(target + step) < losses.adversarial_loss(target)
    # It pulls where D's own loss pushes back: E and D are rivals.
    assert losses.discriminator_loss(target, target + step) > losses.discriminator_loss(target, target)


def test_the_two_readings_of_eq_9_part_ways_above_one_half() -> None:
    """Target loss: the more "crowd" on background the worse. Entropy: confident "crowd" is as good as "background"."""
    z = row(0)
    assert losses.target_segmentation_loss(row(6), z) > losses.target_segmentation_loss(row(0), z)
    assert losses.target_entropy_loss(row(6), z) < losses.target_entropy_loss(row(0), z)
    torch.testing.assert_close(losses.target_entropy_loss(row(6), z), losses.target_entropy_loss(row(-6), z))


# What is refused


@pytest.mark.parametrize("loss", [losses.density_loss, *WITH_MASK])
@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 1, 4, 1), (1, 1, 4, 4), (2, 1, 4, 5), ()])
def test_shapes_that_broadcasting_would_accept_raise(loss: Callable, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        loss(torch.zeros(2, 1, 4, 4), torch.zeros(shape))


@pytest.mark.parametrize("loss", WITH_MASK)
@pytest.mark.parametrize("bad", [255, 2, 0.5, -1, math.nan, math.inf])
def test_masks_hold_zero_and_one_only(loss: Callable, bad: float) -> None:
    mask = torch.zeros(1, 1, 4, 4)
    mask[0, 0, 2, 1] = bad
    with pytest.raises(ValueError, match="0 and 255"):
        loss(torch.zeros(1, 1, 4, 4), mask)


@pytest.mark.parametrize("loss", WITH_MASK)
def test_masks_may_be_bytes_as_they_come_from_files(loss: Callable) -> None:
    logits = torch.linspace(0.1, 0.9, 6).view(1, 1, 2, 3)
    mask = torch.tensor([[[[0, 1, 1], [1, 0, 0]]]], dtype=torch.uint8)
    torch.testing.assert_close(loss(logits, mask), loss(logits, mask.float()))
    with pytest.raises(ValueError, match="0 and 255"):
        loss(logits, mask * 255)


# Eq. 5


def test_total_loss_by_hand_and_each_weight_on_its_own_part() -> None:
    parts = {"seg_source": torch.tensor(5.0), "seg_target": torch.tensor(7.0), "adversarial": torch.tensor(11.0)}
    weights = LossWeights(seg_source=0.1, seg_target=0.01, adversarial=0.001)
    assert float(losses.total_loss(torch.tensor(3.0), weights, **parts)) == pytest.approx(3 + 0.5 + 0.07 + 0.011)
    for name, weight in (("seg_source", 0.1), ("seg_target", 0.01), ("adversarial", 0.001)):
        inputs = {key: value.clone().requires_grad_() for key, value in parts.items()}
        density = torch.tensor(3.0, requires_grad=True)
        losses.total_loss(density, weights, **inputs).backward()
        assert float(inputs[name].grad) == pytest.approx(weight) and float(density.grad) == 1


def test_parts_left_out_count_nothing() -> None:
    assert float(losses.total_loss(torch.tensor(3.0), LossWeights(1, 1, 1))) == 3
    only = losses.total_loss(torch.tensor(3.0), LossWeights(2, 0, 0), seg_source=torch.tensor(5.0))
    assert float(only) == 13


def test_without_arguments_nothing_is_switched_on() -> None:
    """Whatever λ there are: a new one cannot be on in NoAdapt without a word."""
    weights = LossWeights()
    assert set(dataclasses.asdict(weights).values()) == {0.0}
    assert not any((weights.needs_S, weights.needs_D, weights.needs_target))
    with pytest.raises(dataclasses.FrozenInstanceError):
        weights.seg_source = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("name", ["seg_source", "seg_target", "adversarial"])
@pytest.mark.parametrize("bad", [-0.01, -math.inf, math.inf, math.nan])
def test_weights_are_numbers_from_zero_up(name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=name):
        LossWeights(**{name: bad})
    assert getattr(LossWeights(**{name: 0.0}), name) == 0
