"""Demo of notebook 09: the prediction of each method beside the truth."""

from collections.abc import Mapping

import ipywidgets
from matplotlib.figure import Figure
from torch import nn

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.datasets.batches import DensityKernel
from sdcda_tutorial.evaluation.colours import DIFFERENCE
from sdcda_tutorial.evaluation.pictures import row
from sdcda_tutorial.metrics import on_background
from sdcda_tutorial.teaching.demos import choice, explore, predicted, slider


def render_predictions(
    dataset: CrowdDataset, counters: Mapping[str, nn.Module], kernel: DensityKernel, scene: int, method: str
) -> Figure:
    """Image, true map, predicted map and their difference, with the counts and the parts of the error."""
    sample, density = dataset[scene], predicted(counters[method], dataset, scene)
    truth = kernel.draw(sample)
    background = float(on_background(density, truth).sum())
    crowd = float(density.sum()) - sample.count - background
    parts = f"background {background:+.1f}, crowd {crowd:+.1f}".replace("-", "−")
    pictures = {
        f"scene {scene}": sample.image,
        f"truth: {sample.count}": truth,
        f"{method}: {float(density.sum()):.1f}": density,
        f"too many (orange), too few (purple)\n{parts}": density - truth,
    }
    brightest = float(truth.max()) or max(float(density.max()), 1e-6)  # as in `pictures.panel`
    figure = row(pictures, height=2.4, brightest=brightest)
    figure.axes[3].images[0].set(cmap=DIFFERENCE, clim=(-brightest, brightest))
    for axis, beyond in zip(figure.axes[2:], ("max", "both"), strict=True):
        figure.colorbar(axis.images[0], ax=axis, shrink=0.8, label="people per pixel", extend=beyond)
    return figure


def predictions(dataset: CrowdDataset, counters: Mapping[str, nn.Module], kernel: DensityKernel) -> ipywidgets.VBox:
    controls = {
        "scene": slider("scene", 2, 0, min(len(dataset), 30) - 1, 1),
        "method": choice("method", list(counters), list(counters)[-1]),  # the notebook shows the first above
    }
    return explore(render_predictions, controls, {"dataset": dataset, "counters": counters, "kernel": kernel})
