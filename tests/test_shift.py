"""Distances between domains: nothing to tell is told as nothing, a moved channel is found."""

import numpy as np
import pytest
import torch
from torch import nn

from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.shift import channel_gaps, linear_probe, pooled_features


def domains(moved, images=60, channels=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    source, target = (torch.randn(images, channels, generator=generator) for _ in range(2))
    target[:, 0] += moved
    return source, target


def test_pooled_features_average_the_middle():
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:30, 20:40] = 255  # the middle 20 × 20
    rows = pooled_features(nn.Identity(), [Sample(image), Sample(image)], crop=(20, 20))
    assert torch.equal(rows, torch.ones(2, 3))
    assert pooled_features(nn.Identity(), [Sample(image)], crop=(40, 60)).mean() == pytest.approx(400 / 2400)


def test_gap_is_in_standard_deviations_and_symmetric():
    source, target = domains(5.0, images=4000)
    gaps = channel_gaps(source, target)
    assert gaps[0] == pytest.approx(5, abs=0.1) and gaps[1:].max() < 0.1
    assert torch.equal(gaps, channel_gaps(target, source))
    assert torch.allclose(gaps, channel_gaps(3 * source, 3 * target))


def test_gap_of_a_dead_channel_is_zero():
    assert channel_gaps(torch.zeros(4, 2), torch.zeros(4, 2)).tolist() == [0, 0]


def test_probe_finds_a_moved_channel():
    assert linear_probe(*domains(6.0)) > 0.95


def test_probe_finds_nothing_where_there_is_nothing():
    told = [linear_probe(*domains(0.0, seed=seed)) for seed in range(10)]
    assert 0.4 < np.mean(told) < 0.6
