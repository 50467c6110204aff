"""Demo of notebook 03: one channel of f in both domains, for the E of each method."""

from functools import cache

import ipywidgets
import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.evaluation.colours import FEATURES, SOURCE, TARGET
from sdcda_tutorial.evaluation.pictures import show_pixels
from sdcda_tutorial.experiments.benchmark_rows import METHOD_TITLES
from sdcda_tutorial.teaching.demos import choice, counter, explore, slider


def render_feature_maps(
    source: CrowdDataset, target: CrowdDataset, scene: int, channel: int, method: str = "noadapt"
) -> Figure:
    """A source and a target image, one channel of f for each, and a histogram of its values."""
    figure, axes = plt.subplot_mosaic("sSv;tTv", figsize=(9.5, 4.4), layout="constrained")
    f_s, f_t = (_features(counter(method).E, dataset, scene)[channel] for dataset in (source, target))
    largest = max(float(f_s.max()), float(f_t.max())) or 1.0
    for name, dataset, f, colour, dashes in (
        ("source", source, f_s, SOURCE, "-"),
        ("target", target, f_t, TARGET, "--"),
    ):
        x_axis, f_axis = axes[name[0]], axes[name[0].upper()]
        show_pixels(x_axis, dataset[scene].image, f"{name} image {scene}")
        # One colour scale for both domains. Cells stay visible because C gets them as they are.
        title = f"channel {channel}, mean {float(f.mean()):.2f}"
        shown = show_pixels(f_axis, f, title, largest, FEATURES, interpolation="nearest")
        axes["v"].hist(
            f.flatten().numpy(), bins=30, range=(0, largest), histtype="step", linewidth=1.6, color=colour,
            linestyle=dashes, label=name,
        )  # fmt: skip
        for axis in (x_axis, f_axis):
            axis.title.set_color(colour)
    figure.colorbar(shown, ax=[axes["S"], axes["T"]], label="value of f", shrink=0.7)
    axes["v"].set(yscale="log", xlabel="value of f", ylabel="cells", title=f"E of {METHOD_TITLES[method]}")
    axes["v"].legend(frameon=False)
    return figure


def feature_maps(source: CrowdDataset, target: CrowdDataset) -> ipywidgets.VBox:
    controls = {
        "scene": slider("scene", 2, 0, 9, 1),
        "channel": slider("channel of f", 0, 0, counter("noadapt").E.channels - 1, 1),
        "method": choice("E of", [(METHOD_TITLES[m], m) for m in ("noadapt", "se", "fd", "se+fd")], "noadapt"),
    }
    return explore(render_feature_maps, controls, {"source": source, "target": target})


@cache
@torch.no_grad()
def _features(E: nn.Module, dataset: CrowdDataset, scene: int) -> Tensor:
    """f of one image, (channels, H / stride, W / stride), cached because the forward pass is slow."""
    x = torch.from_numpy(dataset[scene].image).permute(2, 0, 1)[None] / 255
    return E(x)[0]
