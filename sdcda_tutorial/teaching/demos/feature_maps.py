"""Demo of notebook 03: one channel of f on an image of either domain, as the E of either method makes it."""

from __future__ import annotations

from functools import cache

import ipywidgets
import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.networks import FeatureExtractor
from sdcda_tutorial.teaching import notebook
from sdcda_tutorial.teaching.demos import choice, explore, slider

SOURCE, TARGET = "#0072B2", "#D55E00"


def render_feature_maps(
    source: CrowdDataset, target: CrowdDataset, scene: int, channel: int, method: str = "noadapt"
) -> Figure:
    """A source and a target image, one channel of their features, and how often that channel takes which value.

    Args:
        source, target: images of the two domains.
        scene: index of an image in both.
        channel: of f.
        method: whose E, a name that `notebook.counter` knows.
    """
    figure, axes = plt.subplot_mosaic(
        [["xs", "fs", "values"], ["xt", "ft", "values"]], figsize=(9.5, 4.4), layout="constrained"
    )
    maps = {name: _features(dataset, scene, method)[channel] for name, dataset in (("s", source), ("t", target))}
    largest = max(float(f.max()) for f in maps.values()) or 1.0
    for name, dataset, domain, colour in (("s", source, "source", SOURCE), ("t", target, "target", TARGET)):
        axes[f"x{name}"].imshow(dataset[scene].image)
        axes[f"x{name}"].set_title(f"{domain} image {scene}", color=colour)
        # One colour scale for both domains: what is brighter is larger. Cells stay visible, they are what C gets.
        drawn = axes[f"f{name}"].imshow(maps[name], cmap="viridis", vmin=0, vmax=largest, interpolation="nearest")
        axes[f"f{name}"].set_title(f"channel {channel}, mean {float(maps[name].mean()):.2f}", color=colour)
        axes["values"].hist(
            maps[name].flatten().numpy(), bins=30, range=(0, largest), histtype="step", linewidth=1.6, color=colour,
            linestyle="-" if name == "s" else "--", label=domain,
        )  # fmt: skip
        for axis in (axes[f"x{name}"], axes[f"f{name}"]):
            axis.set_axis_off()
    figure.colorbar(drawn, ax=[axes["fs"], axes["ft"]], label="value of f", shrink=0.7)
    axes["values"].set(yscale="log", xlabel="value of f", ylabel="cells", title=f"E of {method}")
    axes["values"].legend(frameon=False)
    return figure


def feature_maps(source: CrowdDataset, target: CrowdDataset, scenes: int = 10) -> ipywidgets.VBox:
    """Choose a scene, a channel and whose E."""
    controls = {
        "scene": slider("scene", 0, 0, scenes - 1, 1),
        "channel": slider("channel of f", 0, 0, _extractor("noadapt").channels - 1, 1),
        "method": choice("E of", ["noadapt", "se", "fd", "se+fd"]),
    }
    return explore(render_feature_maps, controls, {"source": source, "target": target})


@cache
def _extractor(method: str) -> FeatureExtractor:
    return notebook.counter(method).E


@cache
@torch.no_grad()
def _features(dataset: CrowdDataset, scene: int, method: str) -> Tensor:
    """f of one image, (channels, H / stride, W / stride); the forward pass is the slow part, so it is kept."""
    x = torch.from_numpy(dataset[scene].image).permute(2, 0, 1)[None] / 255
    return _extractor(method)(x)[0]
