"""The step of the paper in plain PyTorch; `training/test_counter_training.py` has it against the formulas."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sdcda_tutorial.adaptation import Adaptation, Batch, Networks
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.networks import CrowdCounter, FeatureDiscriminator, SemanticExtractor

ALL = LossWeights(0.01, 0.01, 0.001)


def networks(semantic: bool = True) -> tuple[Networks, FeatureDiscriminator]:
    counter = CrowdCounter(8, 1 / 16, label_factor=10.0)
    S = SemanticExtractor(counter.E.channels, 8) if semantic else None
    return Networks(counter, S), FeatureDiscriminator(counter.E.channels, 1 / 16)


def batch(**more: torch.Tensor) -> Batch:
    return {"image": torch.rand(2, 3, 128, 128), "mask": (torch.rand(2, 1, 128, 128) < 0.3).float(), **more}


def adam(*modules: nn.Module) -> dict[str, torch.optim.Optimizer]:
    return {name: torch.optim.Adam(m.parameters()) for name, m in zip(("networks", "D"), modules, strict=False)}


def test_a_step_moves_each_network_once_and_leaves_d_as_free_as_before() -> None:
    trained, D = networks()
    before = {k: v.clone() for k, v in (trained.state_dict() | D.state_dict()).items()}
    step = Adaptation(trained, D, adam(trained, D), ALL, 10.0).step
    terms = step(batch(density=torch.rand(2, 1, 128, 128) / 1000), batch())
    assert list(terms) == ["density", "seg_source", "seg_target", "adversarial", "discriminator", "D_accuracy"]
    assert all(term.ndim == 0 and not term.requires_grad for term in terms.values())
    after = trained.state_dict() | D.state_dict()
    assert all(not torch.equal(after[k], before[k]) for k in after if k.endswith(("weight", "bias")))
    assert all(p.requires_grad for p in D.parameters())


def test_what_somebody_has_frozen_in_d_stays_frozen() -> None:
    trained, D = networks()
    frozen = next(D.parameters()).requires_grad_(False)
    before = frozen.clone()
    Adaptation(trained, D, adam(trained, D), ALL, 10.0).step(batch(density=torch.rand(2, 1, 128, 128)), batch())
    assert torch.equal(frozen, before) and [p.requires_grad for p in D.parameters()].count(False) == 1


@pytest.mark.parametrize(
    ("weights", "semantic", "discriminator"),
    [
        (LossWeights(seg_source=1.0), False, False),
        (LossWeights(adversarial=1.0), True, False),
        (LossWeights(), True, True),
    ],
)
def test_a_part_that_the_weights_do_not_fit_is_refused(
    weights: LossWeights, semantic: bool, discriminator: bool
) -> None:
    trained, D = networks(semantic)
    with pytest.raises(ValueError, match="S belongs to"):
        Adaptation(trained, D if discriminator else None, {}, weights, 10.0)


def test_a_method_that_needs_the_target_gets_one() -> None:
    trained, D = networks()
    with pytest.raises(AssertionError, match="needs a target batch"):
        Adaptation(trained, D, {}, ALL, 10.0).step(batch(density=torch.rand(2, 1, 128, 128)), None)
