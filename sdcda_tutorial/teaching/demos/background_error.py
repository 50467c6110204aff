"""Demo of notebook 04: the predicted count, split into crowd and background."""

import ipywidgets
from matplotlib.figure import Figure

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.evaluation.pictures import row
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.metrics import on_background
from sdcda_tutorial.teaching.demos import choice, counter, explore, predicted, slider


def render_background_error(
    domains: dict[str, CrowdDataset], domain: str, scene: int, method: str = "noadapt"
) -> Figure:
    """Image, true map, and the predicted map in two parts with their counts."""
    dataset = domains[domain]
    sample, density = dataset[scene], predicted(counter(method), dataset, scene)
    truth = MINI.adaptation.kernel.draw(sample)
    background = on_background(density, truth)
    pictures = {
        f"{domain} image {scene}": sample.image,
        f"ground truth: {sample.count} people": truth,
        f"in the crowd: {float((density - background).sum()):.1f}": density - background,
        f"on the background: {float(background.sum()):.1f}": background,
    }
    figure = row(pictures, height=2.1, brightest=max(float(truth.max()), 1e-6))
    # One scale for the three maps; a prediction may exceed the brightest true pixel.
    shown = figure.axes[-1].images[0]
    figure.colorbar(shown, ax=figure.axes, label="people per pixel", extend="max", shrink=0.8, aspect=12, pad=0.01)
    return figure


def background_error(domains: dict[str, CrowdDataset]) -> ipywidgets.VBox:
    controls = {
        "domain": choice("domain", list(domains), list(domains)[-1]),
        "scene": slider("scene", 15, 0, 29, 1),
    }
    return explore(render_background_error, controls, {"domains": domains})
