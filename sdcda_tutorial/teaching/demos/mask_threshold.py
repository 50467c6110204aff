"""Demo of notebook 02: threshold and dilation of the pseudo-masks, and what they cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from scipy.ndimage import maximum_filter

from sdcda_tutorial import masks
from sdcda_tutorial.datasets import Sample
from sdcda_tutorial.evaluation.colours import BLACK, BLUE, HEADS, INDIGO, LIGHT, VERMILION
from sdcda_tutorial.evaluation.pictures import show_pixels
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.mini_world.drawing import render
from sdcda_tutorial.mini_world.sampling import sample_scene, scene_generator
from sdcda_tutorial.mini_world.scene import Domain, Scene
from sdcda_tutorial.teaching.demos import explore, slider

THRESHOLDS = np.linspace(0.02, 0.98, 49)


def trade_off(
    samples: Sequence[Sample], probabilities: Sequence[np.ndarray], thresholds: np.ndarray, dilate: int
) -> tuple[np.ndarray, np.ndarray]:
    """(share of the heads inside, share of the pixels called crowd) at each threshold, over all samples.

    Dilation and threshold commute, so one maximum filter per image serves all thresholds.
    """
    at_heads, at_pixels = [], []
    for sample, probability in zip(samples, probabilities, strict=True):
        grown = maximum_filter(probability, size=2 * dilate + 1)
        columns, rows = sample.points.astype(int).T
        at_heads.append(grown[rows, columns])
        at_pixels.append(grown.ravel())
    heads, pixels = np.sort(np.concatenate(at_heads)), np.sort(np.concatenate(at_pixels))
    # How many values lie above a threshold: those behind the place where it would be sorted in.
    inside, crowd = (1 - np.searchsorted(v, thresholds, side="right") / len(v) for v in (heads, pixels))
    return inside, crowd


def scene_again(domain: Domain, index: int) -> tuple[Scene, np.ndarray]:
    """Scene `index` of the training images of world 0, and its exact silhouettes (H, W), which no file holds."""
    scene = sample_scene(scene_generator(0, domain, "train", index), domain)
    silhouettes = render(scene).mask
    assert silhouettes is not None
    return scene, silhouettes


def compare_masks(
    samples: Sequence[Sample],
    probabilities: Sequence[np.ndarray],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    predicted: Mapping[str, float | None] | None = None,
) -> str:
    """A Markdown table of what two choices of `threshold` and `dilate` cost over all samples, and what was predicted.

    Both figures are in %: the heads lost (outside the mask) and the background, which is the part that teaches.
    """
    columns = []
    for setting in (before, after):
        inside, crowd = trade_off(samples, probabilities, np.array([setting["threshold"]]), setting["dilate"])
        columns.append((f"{100 * (1 - inside[0]):.1f} %", f"{100 * (1 - crowd[0]):.1f} %"))
    rows = []
    for row, (name, title) in enumerate((("heads lost", "heads lost"), ("background", "pixels called background"))):
        guess = (predicted or {}).get(name)
        rows.append([title, *(column[row] for column in columns), "–" if guess is None else f"{guess:g} %"])
    settings = (f"threshold {setting['threshold']}, dilation {setting['dilate']}" for setting in (before, after))
    return markdown_table(["", *settings, "predicted"], rows, aligned=False)


CASES = {  # (person, called crowd): colour, meaning
    (1, 1): (BLUE, "person, called crowd"),
    (1, 0): (VERMILION, "person, called background: harm"),
    (0, 1): (LIGHT, "nobody, called crowd: no lesson"),
    (0, 0): ("white", "nobody, called background: the lesson"),
}


def render_mistakes(image: np.ndarray, silhouettes: np.ndarray, made: Mapping[str, np.ndarray]) -> Figure:
    """An image, and masks of it by title, compared with the exact silhouettes pixel by pixel."""
    figure, axes = plt.subplots(1, 1 + len(made), figsize=(9.8, 3.2), layout="constrained")
    show_pixels(axes[0], image)
    for axis, (title, z) in zip(axes[1:], made.items(), strict=True):
        picture = np.zeros((*z.shape, 3))
        for (person, crowd), (colour, _) in CASES.items():
            picture[(silhouettes == person) & (z == crowd)] = to_rgb(colour)
        axis.imshow(picture)
        axis.set(title=title, xticks=[], yticks=[])
        axis.spines[:].set_visible(True)
    handles = [Patch(facecolor=colour, edgecolor="black", label=label) for colour, label in CASES.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def render_mask_threshold(
    samples: Sequence[Sample], probabilities: Sequence[np.ndarray], scene: int, threshold: float, dilate: int
) -> Figure:
    """One image with the background of its mask dimmed, its probability of crowd (H, W), and the trade-off on all.

    The labels are only for comparison. For threshold and dilation see `masks.from_probability`.
    """
    sample, probability = samples[scene], probabilities[scene]
    z = masks.from_probability(probability, threshold, dilate=int(dilate))
    columns, rows = sample.points.astype(int).T
    inside = z[rows, columns] == 1
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.9), layout="constrained", width_ratios=(1.25, 1.25, 1))
    heads = f"{int(inside.sum())} heads inside, {int((~inside).sum())} lost (crosses)"
    light = np.where(z[..., None] == 1, 1.0, 0.4)
    show_pixels(axes[0], (sample.image * light + 255 * 0.25 * (1 - light)).astype(np.uint8), heads)
    axes[0].scatter(*sample.points[inside].T, s=12, c=HEADS, edgecolors="black", linewidths=0.5)
    axes[0].scatter(*sample.points[~inside].T, s=40, c=VERMILION, marker="X", edgecolors="white", linewidths=0.8)
    show_pixels(axes[1], probability, f"probability of crowd, line: {threshold:g}", brightest=1)
    if probability.min() < threshold < probability.max():
        line = axes[1].contour(probability, [threshold], colors=HEADS, linewidths=1.3)
        line.set_path_effects([withStroke(linewidth=2.6, foreground="black")])  # seen on dark and on light
    costs = trade_off(samples, probabilities, np.append(THRESHOLDS, threshold), int(dilate))
    lost, background = (100 * (1 - share) for share in costs)
    axes[2].plot(background[:-1], lost[:-1], "-", color=INDIGO)
    axes[2].plot(background[-1:], lost[-1:], "o", color=BLACK)
    axes[2].set(xlim=(0, 102), ylim=(-2, 102), xlabel="pixels called background, %", ylabel="heads lost, %")
    axes[2].set_title(f"{len(samples)} images, dot: threshold {threshold:g}, dilation {int(dilate)}")
    return figure


def mask_threshold(samples: Sequence[Sample], probabilities: Sequence[np.ndarray]) -> ipywidgets.VBox:
    controls = {
        "scene": slider("scene", 0, 0, len(samples) - 1, 1),
        "threshold": slider("threshold", 0.3, 0.02, 0.98, 0.02),
        "dilate": slider("dilation, pixels", 2, 0, 12, 1),
    }
    return explore(render_mask_threshold, controls, {"samples": samples, "probabilities": probabilities})
