"""Demo of notebook 09: what each method sees in a scene, beside the truth."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor, nn

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.datasets.batches import DensityKernel
from sdcda_tutorial.evaluation.pictures import DENSITY
from sdcda_tutorial.evaluation.results import predict_density
from sdcda_tutorial.metrics import on_background
from sdcda_tutorial.teaching.demos import choice, explore, slider


@lru_cache(
    maxsize=256
)  # a map of the mini world takes 200 kB; the networks and the data set are told apart by identity
def _predicted(counter: nn.Module, dataset: CrowdDataset, scene: int) -> Tensor:
    return predict_density(counter, dataset[scene].image)


def render_predictions(
    dataset: CrowdDataset, counters: Mapping[str, nn.Module], kernel: DensityKernel, scene: int, method: str
) -> Figure:
    """Image, true map, predicted map, and their difference, with the counts and the two parts of the error.

    Args:
        dataset: labelled images.
        counters: title -> E and C of a method, in evaluation mode.
        kernel: draws the true map; that of the training.
        scene: index of an image.
        method: a title.
    """
    sample, truth = dataset[scene], kernel.draw(dataset[scene])
    predicted = _predicted(counters[method], dataset, scene)
    background = float(on_background(predicted, truth).sum())
    error = float(predicted.sum()) - sample.count
    brightest = float(truth.max()) or max(float(predicted.max()), 1e-6)  # as in `plotting.panel`
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.4), layout="constrained")
    axes[0].imshow(sample.image)
    axes[0].set_title(f"scene {scene}")
    axes[1].imshow(truth.numpy(), cmap=DENSITY, vmin=0, vmax=brightest)
    axes[1].set_title(f"truth: {sample.count}")
    axes[2].imshow(predicted.numpy(), cmap=DENSITY, vmin=0, vmax=brightest)
    axes[2].set_title(f"{method}: {float(predicted.sum()):.1f}")
    axes[3].imshow((predicted - truth).numpy(), cmap="PuOr_r", vmin=-brightest, vmax=brightest)
    axes[3].set_title(
        f"too many (orange), too few (purple)\nbackground {background:+.1f}, crowd {error - background:+.1f}"
    )
    for axis in axes:
        axis.set_axis_off()
    return figure


def predictions(
    dataset: CrowdDataset, counters: Mapping[str, nn.Module], kernel: DensityKernel, scenes: int = 30
) -> ipywidgets.VBox:
    """Choose one of the first `scenes` scenes, and a method."""
    controls = {
        "scene": slider("scene", 2, 0, min(scenes, len(dataset)) - 1, 1),
        "method": choice("method", list(counters)),
    }
    return explore(render_predictions, controls, {"dataset": dataset, "counters": counters, "kernel": kernel})
