"""Demo of notebook 04: the people that a counter draws, split into those in the crowd and those on the background."""

from __future__ import annotations

from functools import cache

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor, nn

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.evaluation.pictures import DENSITY
from sdcda_tutorial.evaluation.results import predict_density
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.metrics import on_background
from sdcda_tutorial.teaching import notebook
from sdcda_tutorial.teaching.demos import choice, explore, slider


def render_background_error(
    domains: dict[str, CrowdDataset], domain: str, scene: int, method: str = "noadapt"
) -> Figure:
    """An image, its true map, and the predicted map in two parts, with the number of people in each.

    Args:
        domains: name -> labelled images.
        domain: one of the names.
        scene: index of an image.
        method: whose counter, a name that `notebook.counter` knows.
    """
    dataset = domains[domain]
    sample, predicted = dataset[scene], _predicted(dataset, scene, method)
    truth = MINI.adaptation.kernel.draw(sample)
    background = on_background(predicted, truth)
    maps = {
        f"truth: {sample.count} people": truth,
        f"in the crowd: {float((predicted - background).sum()):.1f}": predicted - background,
        f"on the background: {float(background.sum()):.1f}": background,
    }
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.2), layout="constrained")
    axes[0].imshow(sample.image)
    axes[0].set_title(f"{domain} image {scene}")
    for axis, (title, density) in zip(axes[1:], maps.items(), strict=True):
        axis.imshow(density, cmap=DENSITY, vmin=0, vmax=max(float(truth.max()), 1e-6))
        axis.set_title(title)
    for axis in axes:
        axis.set_axis_off()
    return figure


def background_error(domains: dict[str, CrowdDataset], scenes: int = 20) -> ipywidgets.VBox:
    """Choose a domain and a scene."""
    controls = {
        "domain": choice("domain", list(domains), list(domains)[-1]),
        "scene": slider("scene", 0, 0, scenes - 1, 1),
    }
    return explore(render_background_error, controls, {"domains": domains})


@cache
def _counter(method: str) -> nn.Module:
    return notebook.counter(method)


@cache
def _predicted(dataset: CrowdDataset, scene: int, method: str) -> Tensor:
    """Kept, since the forward pass is the slow part."""
    return predict_density(_counter(method), dataset[scene].image)
