"""Demo of notebook 01: the kernel changes the density map, never the count."""

from collections.abc import Mapping
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from sdcda_tutorial.datasets import CrowdDataset, Sample
from sdcda_tutorial.density import adaptive_sigma, density_map
from sdcda_tutorial.evaluation.colours import BLUE, HEADS
from sdcda_tutorial.evaluation.pictures import show_pixels
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.teaching.demos import choice, explore, slider

# Figure -> what it is, with its unit, and its number of digits.
FIGURES = {
    "sum": ("sum of the map, people", 2),
    "peak": ("peak of one head, people per pixel", 4),
    "width": ("width of one head at half its peak, pixels", 1),
    "largest": ("largest density of the map, people per pixel", 4),
}


def kernel_figures(sample: Sample, kernel: str, sigma: float = 4.0, kernel_size: int = 15) -> dict[str, float]:
    """What a kernel makes of one sample: the figures of `FIGURES`.

    "One head" stands far from every border. With the adaptive kernel it is the head of the median σ.
    """
    F = density_map(sample.points, sample.size, kernel=kernel, sigma=sigma, kernel_size=kernel_size)  # type: ignore[arg-type]
    if kernel == "adaptive":
        sigma = float(np.median(adaptive_sigma(sample.points)))
        kernel_size = 2 * int(np.ceil(3 * sigma)) + 1
    row = density_map(np.full((1, 2), kernel_size), (2 * kernel_size + 1,) * 2, sigma=sigma, kernel_size=kernel_size)
    half = row[kernel_size, kernel_size:].numpy()  # from the centre to the right
    below = int(np.argmax(half < half[0] / 2))  # the first pixel below half of the peak
    width = float(kernel_size)  # where the kernel ends before that
    if half[below] > 0:  # the logarithm of a Gaussian is a line in the squared distance
        last, first, middle = (float(np.log(value)) for value in (half[below - 1], half[below], half[0] / 2))
        width = 2 * float(np.sqrt((below - 1) ** 2 + (last - middle) / (last - first) * (2 * below - 1)))
    return {"sum": float(F.sum()), "peak": float(half[0]), "width": width, "largest": float(F.max())}


def compare_kernels(
    sample: Sample,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    predicted: Mapping[str, float | None] | None = None,
) -> str:
    """A Markdown table of the `kernel_figures` of two kernels, their factor, and the factor that was predicted."""
    first, second = kernel_figures(sample, **before), kernel_figures(sample, **after)
    rows = []
    for name, (title, digits) in FIGURES.items():
        guess = (predicted or {}).get(name)
        row = [title, f"{first[name]:.{digits}f}", f"{second[name]:.{digits}f}", f"{second[name] / first[name]:.2f}"]
        rows.append([*row, "–" if guess is None else f"{guess:g}"])
    return markdown_table(["", "before", "after", "factor", "predicted"], rows, aligned=False)


def render_density_kernel(
    dataset: CrowdDataset, scene: int, kernel: str, sigma: float, kernel_size: int = 15
) -> Figure:
    """Image with heads, density map, and its profile in the row of its maximum; `sigma`, `kernel_size` in pixels."""
    sample = dataset[scene]
    F = density_map(sample.points, sample.size, kernel=kernel, sigma=sigma, kernel_size=kernel_size)  # type: ignore[arg-type]
    figures = kernel_figures(sample, kernel, sigma, kernel_size)
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.6), layout="constrained")
    show_pixels(axes[0], sample.image, f"{sample.count} heads")
    axes[0].scatter(*sample.points.T, s=6, c=HEADS, edgecolors="black", linewidths=0.3)
    shown = show_pixels(axes[1], F, f"F(y), people per pixel: sum {figures['sum']:.2f}")
    figure.colorbar(shown, ax=axes[1], shrink=0.9)
    row = int(F.max(dim=1).values.argmax())
    axes[1].axhline(row, color=HEADS, linewidth=0.8)
    axes[2].plot(F[row], color=BLUE)
    axes[2].set(title=f"row {row}, largest density {figures['largest']:.4f}", ylim=(0, None))
    axes[2].set(xlabel="column, pixels", ylabel="people per pixel")
    if kernel == "adaptive":
        sigmas = adaptive_sigma(sample.points)
        head = f"adaptive: σ from {sigmas.min():.1f} to {sigmas.max():.1f} pixels; median head"
    else:
        head = "one head"
    note = f"{head}: peak {figures['peak']:.4f} people per pixel, {figures['width']:.1f} pixels wide at half of it"
    figure.supxlabel(note, fontsize=9)
    return figure


def density_kernel(dataset: CrowdDataset) -> ipywidgets.VBox:
    controls = {
        "scene": slider("scene", 0, 0, min(len(dataset), 10) - 1, 1),
        "kernel": choice("kernel", ["fixed", "adaptive"]),
        "sigma": slider("σ of the fixed kernel, pixels", 2.0, 0.5, 12.0, 0.5),
        "kernel_size": slider("width of the fixed kernel, pixels", 15, 3, 73, 2),
    }
    return explore(render_density_kernel, controls, {"dataset": dataset})
