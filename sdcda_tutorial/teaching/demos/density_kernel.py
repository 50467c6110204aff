"""Demo of notebook 01: what the kernel does to the map, and what it never does to the count."""

from __future__ import annotations

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.density import adaptive_sigma, density_map
from sdcda_tutorial.evaluation.pictures import DENSITY
from sdcda_tutorial.teaching.demos import choice, explore, slider


def render_density_kernel(dataset: CrowdDataset, scene: int, kernel: str, sigma: float) -> Figure:
    """Image with heads, its density map, and the map's profile along the row of the densest spot.

    Args:
        dataset: labelled images.
        scene: index of one.
        kernel: "fixed" or "adaptive".
        sigma: σ of the fixed kernel in pixels; the kernel reaches 3 σ.
    """
    sample = dataset[scene]
    size = 2 * int(np.ceil(3 * sigma)) + 1
    F = density_map(sample.points, sample.size, kernel=kernel, sigma=sigma, kernel_size=size)  # type: ignore[arg-type]
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.6), layout="constrained")
    axes[0].imshow(sample.image)
    axes[0].scatter(*sample.points.T, s=6, c="#56B4E9", edgecolors="black", linewidths=0.3)
    axes[0].set_title(f"{sample.count} heads")
    axes[1].imshow(F, cmap=DENSITY)
    axes[1].set_title(f"F(y), sum {float(F.sum()):.2f}")
    row = int(F.max(dim=1).values.argmax())
    axes[1].axhline(row, color="#56B4E9", linewidth=0.8)
    axes[2].plot(F[row], color="#0072B2")
    axes[2].set_title(f"row {row}, people per pixel")
    axes[2].set_ylim(bottom=0)
    for axis in axes[:2]:
        axis.set_axis_off()
    if kernel == "adaptive":
        sigmas = adaptive_sigma(sample.points)
        figure.supxlabel(f"adaptive: σ from {sigmas.min():.1f} to {sigmas.max():.1f} pixels", fontsize=9)
    return figure


def density_kernel(dataset: CrowdDataset, scenes: int = 10) -> ipywidgets.VBox:
    """Choose a scene, a kernel and its σ."""
    controls = {
        "scene": slider("scene", 0, 0, scenes - 1, 1),
        "kernel": choice("kernel", ["fixed", "adaptive"]),
        "sigma": slider("σ of the fixed kernel, pixels", 2.0, 0.5, 12.0, 0.5),
    }
    return explore(render_density_kernel, controls, {"dataset": dataset})
