"""Where people really are in the mini world's test images: what notebooks 05 and 06 measure S against, never train on."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter

from sdcda_tutorial.mini_world.drawing import render
from sdcda_tutorial.mini_world.sampling import sample_scene, scene_generator


def silhouettes(index: int) -> np.ndarray:
    """True crowd mask (H, W), 1 = person, of target test image `index` of the mini world; its files hold none."""
    return render(sample_scene(scene_generator(0, "target", "test", index), "target")).mask


def found_and_false(prob: np.ndarray, people: np.ndarray, distance: int = 12) -> tuple[float, float]:
    """How good a predicted mask is, in percent: people found, and false alarms far from anybody.

    Args:
        prob: (N, H, W) ẑ; above 0.5 a pixel is called crowd.
        people: (N, H, W) true masks.
        distance: pixels, sideways or up and down, that keep rough outlines from counting as false alarms.
    Returns:
        Percent of the pixels of people that are called crowd, and percent of the pixels at least `distance` away
        from any person that are called crowd; nan where there are no such pixels.
    """
    near = maximum_filter(people, size=(1, 2 * distance + 1, 2 * distance + 1)) == 1
    shares = [100 * called.mean() if called.size else np.nan for called in (prob[people == 1] > 0.5, prob[~near] > 0.5)]
    return float(shares[0]), float(shares[1])
