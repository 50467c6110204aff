"""The toy translation of notebook 10: its data, a short training, what is kept of a run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sdcda_tutorial.rivals.cyclegan_losses import TranslationWeights
from sdcda_tutorial.teaching import recolouring
from sdcda_tutorial.teaching.notebook import picture


def test_squares_are_random_colours_that_the_rule_moves_into_its_range() -> None:
    x = recolouring.squares(50, np.random.default_rng(0))
    assert x.shape == (50, 3, 32, 32) and x.dtype == torch.float32
    assert torch.equal(x, x[..., ::4, ::4].repeat_interleave(4, 2).repeat_interleave(4, 3))
    y = recolouring.rule(x)
    low, high = y.amin((0, 2, 3)), y.amax((0, 2, 3))
    assert torch.allclose(low, torch.tensor([0.05, 0.0, 0.5]), atol=0.01)
    assert torch.allclose(high, torch.tensor([0.65, 0.8, 1.0]), atol=0.01)


def test_the_inverted_answer_looks_like_the_target_and_is_another() -> None:
    x = recolouring.squares(50, np.random.default_rng(0))
    right, inverted = recolouring.rule(x), recolouring.rule(1 - x)
    assert torch.allclose(right.mean((0, 2, 3)), inverted.mean((0, 2, 3)), atol=0.02)
    assert (right - inverted).abs().mean() > 0.25


def test_a_run_is_a_function_of_its_weights_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recolouring, "STEPS", 2)
    once, again, other = (recolouring.train(TranslationWeights(10, 1), seed) for seed in (0, 0, 1))
    weights = [translation.generators.to_target.layers[0].weight for translation in (once, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_runs_are_kept_as_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recolouring, "STEPS", 1)
    toy = recolouring.Recolouring()
    toy.run(identity=0)
    toy.run(cycle=0, structure=1, seed=3)
    header, rule, *rows = toy.table().splitlines()
    assert header.startswith("| λ | ι | μ | seed |") and set(rule) == set("| -")
    assert rows[0].startswith("| 10 | 0 | 0 | 0 |") and rows[1].startswith("| 0 | 1 | 1 | 3 |")
    assert 0.15 < toy.untouched() < 0.19
    assert picture(toy.picture())[:2] == b"\xff\xd8"


@pytest.mark.slow
def test_with_all_terms_the_rule_is_found() -> None:
    toy = recolouring.Recolouring()
    toy.run()
    (run,) = toy.runs
    assert run.off < 0.08 < toy.untouched() < run.off_inverted and run.cycle < 0.25
