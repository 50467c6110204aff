"""Demo of notebook 10: an image, its translation into the other domain, and the way back."""

from collections.abc import Mapping
from functools import lru_cache

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.evaluation.pictures import row
from sdcda_tutorial.rivals.cyclegan import Generator, Generators
from sdcda_tutorial.rivals.translated_source import translated_image
from sdcda_tutorial.teaching.demos import choice, explore, slider

DIRECTIONS = ("source to target", "target to source")


@lru_cache(maxsize=256)
def _cycle(forth: Generator, back: Generator, dataset: CrowdDataset, scene: int) -> tuple[np.ndarray, np.ndarray]:
    """The translation of an image by `forth`, and that image translated by `back`."""
    made = translated_image(forth, dataset[scene].image)
    return made, translated_image(back, made)


def render_translation(
    domains: Mapping[str, CrowdDataset], generators: Mapping[str, Generators], scene: int, method: str,
    direction: str = DIRECTIONS[0],
) -> Figure:  # fmt: skip
    """An image, its translation in one of `DIRECTIONS`, the way back, and where that differs from the image."""
    begins = direction.partition(" ")[0]
    image, both = domains[begins][scene].image, generators[method]
    forth, back = (both.to_target, both.to_source)[:: 1 if begins == "source" else -1]
    made, cycle = _cycle(forth, back, domains[begins], scene)
    off = np.abs(cycle.astype(float) - image).mean(axis=2) / 255
    pictures = {
        f"{begins} image {scene}": image,
        f"{method}: {direction}": made,
        "and back": cycle,
        f"difference; cycle loss 2 × {off.mean():.3f}": off,
    }
    figure = row(pictures, height=2.3, brightest=0.5)
    last = figure.axes[-1]
    figure.colorbar(last.images[0], ax=last, shrink=0.8, extend="max", label="colours run from 0 to 1")
    return figure


def translations(domains: Mapping[str, CrowdDataset], generators: Mapping[str, Generators]) -> ipywidgets.VBox:
    controls = {
        "scene": slider("scene", 2, 0, min(30, *map(len, domains.values())) - 1, 1),
        "method": choice("method", list(generators), list(generators)[-1]),  # the notebook shows the first above
        "direction": choice("direction", list(DIRECTIONS)),
    }
    return explore(render_translation, controls, {"domains": domains, "generators": generators})
