"""Distances between domains: nothing to tell is told as nothing, a moved channel is found."""

import numpy as np
import pytest
import torch
from torch import nn

from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.evaluation.feature_distance import (
    alignment,
    channel_gaps,
    linear_probe,
    local_features,
    mmd,
    pooled_features,
)
from sdcda_tutorial.networks import FeatureExtractor


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


def test_a_smaller_image_has_no_middle_of_that_size():
    with pytest.raises(ValueError, match=r"\(64, 80\) is smaller than the crop \(128, 160\)"):
        pooled_features(nn.Identity(), [Sample(np.zeros((64, 80, 3), np.uint8))])


def test_features_are_those_of_evaluation_and_leave_e_as_it_was():
    E = FeatureExtractor(stride=8, width=1 / 16).eval()
    samples = [Sample(np.random.default_rng(i).integers(0, 256, (64, 64, 3), np.uint8)) for i in range(4)]
    wanted, before = alignment(E, samples[:2], samples[2:]), {k: v.clone() for k, v in E.state_dict().items()}
    assert alignment(E.train(), samples[:2], samples[2:]) == wanted
    assert E.training and all(torch.equal(value, before[name]) for name, value in E.state_dict().items())


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


def test_features_that_say_nothing_are_right_by_half() -> None:
    """As a guess is: an E that gives zeros is not better aligned than chance."""
    for shape in ((10, 4), (9, 4), (10, 8, 4)):
        assert linear_probe(torch.zeros(shape), torch.zeros(shape)) == pytest.approx(0.5, abs=0.06)


def test_a_probe_of_what_is_no_number_is_none() -> None:
    for image in (0, 1):  # one that is fitted, one that is classified
        source, target = domains(6.0)
        source[image, 3] = float("nan")
        assert np.isnan(linear_probe(source, target))


def test_probe_of_places_is_fitted_to_images_that_it_is_not_asked_about():
    generator = torch.Generator().manual_seed(0)
    # Every image has a place of its own in feature space, and all its places lie there: no domain, much to remember.
    source, target = (
        torch.randn(20, 1, 64, generator=generator) + 0.01 * torch.randn(20, 50, 64, generator=generator)
        for _ in range(2)
    )
    assert 0.2 < linear_probe(source, target) < 0.8  # 1.0 where the places of one image are on both sides
    target += 1
    assert linear_probe(source, target) > 0.95
    one_place = linear_probe(source[:, :1], target[:, :1])
    assert one_place == linear_probe(source[:, 0], target[:, 0])


def test_places_are_told_apart_less_well_than_their_averages():
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(60, 64, 8, generator=generator) for _ in range(2))
    target[..., 0] += 1
    assert linear_probe(source, target) < 0.8 < 0.95 < linear_probe(source.mean(dim=1), target.mean(dim=1))


def test_local_features_are_places_on_a_grid():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    f = local_features(nn.Identity(), [Sample(image)], crop=(2, 2))
    assert torch.equal(f[0], torch.from_numpy(image[1:3, 2:4]).reshape(4, 3) / 255)
    thinned = local_features(nn.Identity(), [Sample(image)], crop=(4, 6), most=6)  # every second of 4 × 6
    assert torch.equal(thinned[0], torch.from_numpy(image[1::2, 1::2]).reshape(6, 3) / 255)


def test_mmd_is_its_definition():
    source, target = domains(1.0, images=5, channels=3)
    f = torch.cat([source, target]).double()
    f = f / f.std(dim=0)
    distances = [(a - b).square().sum() for i, a in enumerate(f) for j, b in enumerate(f) if i != j]
    width = torch.stack(distances).median()

    def mean(pairs):
        return np.mean([float(torch.exp(-(f[i] - f[j]).square().sum() / width)) for i, j in pairs])

    within = [[(i, j) for i in part for j in part if i != j] for part in (range(5), range(5, 10))]
    expected = mean(within[0]) + mean(within[1]) - 2 * mean([(i, j) for i in range(5) for j in range(5, 10)])
    assert mmd(source, target) == pytest.approx(expected, abs=1e-9)


def test_mmd_sees_more_than_means_and_nothing_where_there_is_nothing():
    same = [mmd(*domains(0.0, seed=seed)) for seed in range(10)]
    assert abs(np.mean(same)) < 0.003
    source, target = domains(0.0)
    assert mmd(source, 3 * target) > 10 * max(map(abs, same))  # the same means, another spread
    assert mmd(*domains(6.0)) > 10 * max(map(abs, same))
    assert mmd(source, target) == pytest.approx(mmd(target, source), abs=1e-12)


def test_alignment_looks_at_what_fits_into_every_image():
    shades = [60, 90, 120, 150]
    source = [Sample(np.full((40, 60, 3), shade, np.uint8)) for shade in shades]
    target = [Sample(np.full((35, 70, 3), shade, np.uint8)) for shade in shades]
    found = alignment(nn.Identity(), source, target)  # windows of 32 × 48
    assert found["mmd"] <= 0 and all(0 <= found[probe] <= 1 for probe in ("linear_probe", "place_probe"))
    apart = alignment(nn.Identity(), source, [Sample(255 - sample.image // 4) for sample in target])
    assert apart["mmd"] > 0.5 and apart["linear_probe"] == apart["place_probe"] == 1.0
