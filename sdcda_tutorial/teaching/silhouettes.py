"""Where people really are in the mini world's target images: for measuring S, never for training."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter

from sdcda_tutorial.mini_world.drawing import render
from sdcda_tutorial.mini_world.sampling import sample_scene, scene_generator


def silhouettes(index: int) -> np.ndarray:
    """True crowd mask (H, W), 1 = person, of target test image `index` of the mini world; its files hold none."""
    return render(sample_scene(scene_generator(0, "target", "test", index), "target")).mask


def far_from(people: np.ndarray, distance: int = 12) -> np.ndarray:
    """Background more than `distance` pixels, sideways or up and down, from any person: bool, like `people` (N, H, W).

    Rough outlines of people lie outside of it, so whatever is called crowd there is a false positive.
    """
    return maximum_filter(people, size=(1, 2 * distance + 1, 2 * distance + 1)) == 0


def found_and_false(prob: np.ndarray, people: np.ndarray) -> tuple[float, float]:
    """How good a predicted mask is, in percent: pixels of people that are found, and false positives.

    Args:
        prob: (N, H, W) ẑ; above 0.5 a pixel is called crowd.
        people: (N, H, W) true masks.
    Returns:
        Percent of the pixels of people, and of the background `far_from` people, that are called crowd.
    """
    return 100 * float((prob[people == 1] > 0.5).mean()), 100 * float((prob[far_from(people)] > 0.5).mean())
