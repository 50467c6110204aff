"""Demo of notebook 10: an image, its translation into the other domain, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.rivals.cyclegan import Generators
from sdcda_tutorial.rivals.translated_source import translated_image
from sdcda_tutorial.teaching.demos import choice, explore, slider

DIRECTIONS = ("source to target", "target to source")


@lru_cache(maxsize=256)  # the networks and the data set are told apart by identity
def _cycle(generators: Generators, dataset: CrowdDataset, scene: int, to_target: bool) -> tuple[np.ndarray, np.ndarray]:
    """The translation of an image and what comes back, both (H, W, 3) uint8."""
    forth, back = generators.to_target, generators.to_source
    if not to_target:
        forth, back = back, forth
    made = translated_image(forth, dataset[scene].image)
    return made, translated_image(back, made)


def render_translation(
    domains: Mapping[str, CrowdDataset],
    generators: Mapping[str, Generators],
    scene: int,
    method: str,
    direction: str = DIRECTIONS[0],
) -> Figure:
    """Image, translation, the way back, and where the cycle differs from the image.

    Args:
        domains: "source" and "target".
        generators: title -> both generators of a method, in evaluation mode.
        scene: index of an image of the domain that the direction begins with.
        method: a title.
        direction: one of `DIRECTIONS`.
    """
    begins = direction.partition(" ")[0]
    image = domains[begins][scene].image
    made, cycle = _cycle(generators[method], domains[begins], scene, begins == "source")
    off = np.abs(cycle.astype(float) - image).mean(axis=2) / 255
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.3), layout="constrained")
    pictures = {f"{begins} image {scene}": image, f"{method}: {direction}": made, "and back": cycle}
    for axis, (title, picture) in zip(axes, pictures.items(), strict=False):
        axis.imshow(picture)
        axis.set_title(title)
    axes[3].imshow(off, cmap="magma", vmin=0, vmax=0.5)
    axes[3].set_title(f"difference; cycle loss {2 * off.mean():.3f}")
    for axis in axes:
        axis.set_axis_off()
    return figure


def translations(
    domains: Mapping[str, CrowdDataset], generators: Mapping[str, Generators], scenes: int = 30
) -> ipywidgets.VBox:
    """Choose one of the first `scenes` images of either domain, and a method."""
    last = min(scenes, *(len(dataset) for dataset in domains.values())) - 1
    controls = {
        "scene": slider("scene", 2, 0, last, 1),
        "method": choice("method", list(generators)),
        "direction": choice("direction", list(DIRECTIONS)),
    }
    return explore(render_translation, controls, {"domains": domains, "generators": generators})
