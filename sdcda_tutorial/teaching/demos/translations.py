"""Demo of notebook 10: an image, its translation into the other domain, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.evaluation.pictures import row
from sdcda_tutorial.rivals.cyclegan import Generators
from sdcda_tutorial.rivals.translated_source import translated_image
from sdcda_tutorial.teaching.demos import choice, explore, slider

DIRECTIONS = ("source to target", "target to source")


@lru_cache(maxsize=256)
def _cycle(generators: Generators, dataset: CrowdDataset, scene: int, to_target: bool) -> tuple[np.ndarray, np.ndarray]:
    """The translation of an image and what comes back, both (H, W, 3) uint8."""
    forth, back = generators.to_target, generators.to_source
    if not to_target:
        forth, back = back, forth
    made = translated_image(forth, dataset[scene].image)
    return made, translated_image(back, made)


def render_translation(
    domains: Mapping[str, CrowdDataset], generators: Mapping[str, Generators], scene: int, method: str,
    direction: str = DIRECTIONS[0],
) -> Figure:  # fmt: skip
    """Image of the domain that the direction, one of `DIRECTIONS`, begins with; its translation, the way back, and
    where the cycle differs from the image.
    """
    begins = direction.partition(" ")[0]
    image = domains[begins][scene].image
    made, cycle = _cycle(generators[method], domains[begins], scene, begins == "source")
    off = np.abs(cycle.astype(float) - image).mean(axis=2) / 255
    pictures = {
        f"{begins} image {scene}": image,
        f"{method}: {direction}": made,
        "and back": cycle,
        f"difference; cycle loss {2 * off.mean():.3f}": off,
    }
    return row(pictures, height=2.3, brightest=0.5)


def translations(domains: Mapping[str, CrowdDataset], generators: Mapping[str, Generators]) -> ipywidgets.VBox:
    """Choose one of the first 30 images of either domain, a method and a direction."""
    controls = {
        "scene": slider("scene", 2, 0, min(30, *map(len, domains.values())) - 1, 1),
        "method": choice("method", list(generators)),
        "direction": choice("direction", list(DIRECTIONS)),
    }
    return explore(render_translation, controls, {"domains": domains, "generators": generators})
