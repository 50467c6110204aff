"""Demo of notebook 01: the kernel changes the density map, never the count."""

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.density import adaptive_sigma, density_map
from sdcda_tutorial.evaluation.colours import BLUE, HEADS
from sdcda_tutorial.evaluation.pictures import show_pixels
from sdcda_tutorial.teaching.demos import choice, explore, slider


def render_density_kernel(dataset: CrowdDataset, scene: int, kernel: str, sigma: float) -> Figure:
    """Image with heads, density map, and its profile in the row of its maximum; `sigma` is in pixels, the reach 3 σ."""
    sample = dataset[scene]
    size = 2 * int(np.ceil(3 * sigma)) + 1
    F = density_map(sample.points, sample.size, kernel=kernel, sigma=sigma, kernel_size=size)  # type: ignore[arg-type]
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.6), layout="constrained")
    show_pixels(axes[0], sample.image, f"{sample.count} heads")
    axes[0].scatter(*sample.points.T, s=6, c=HEADS, edgecolors="black", linewidths=0.3)
    show_pixels(axes[1], F, f"F(y), sum {float(F.sum()):.2f}")
    row = int(F.max(dim=1).values.argmax())
    axes[1].axhline(row, color=HEADS, linewidth=0.8)
    axes[2].plot(F[row], color=BLUE)
    axes[2].set(title=f"row {row}, people per pixel", ylim=(0, None))
    if kernel == "adaptive":
        sigmas = adaptive_sigma(sample.points)
        figure.supxlabel(f"adaptive: σ from {sigmas.min():.1f} to {sigmas.max():.1f} pixels", fontsize=9)
    return figure


def density_kernel(dataset: CrowdDataset) -> ipywidgets.VBox:
    controls = {
        "scene": slider("scene", 0, 0, min(len(dataset), 10) - 1, 1),
        "kernel": choice("kernel", ["fixed", "adaptive"]),
        "sigma": slider("σ of the fixed kernel, pixels", 2.0, 0.5, 12.0, 0.5),
    }
    return explore(render_density_kernel, controls, {"dataset": dataset})
