"""What notebook 00 shows: the three domains, the counts of two counters image by image, and the stored results."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.evaluation import colours
from sdcda_tutorial.evaluation.pictures import show_pixels
from sdcda_tutorial.evaluation.results import Results
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.mini_world.sampling import sample_scene, scene_generator
from sdcda_tutorial.mini_world.scene import Domain
from sdcda_tutorial.teaching.photograph_figures import better_baseline

SHOWN = 4, 9, 12  # training images of each domain; the enlarged person is one of the first


def domains(world: SimpleNamespace) -> Figure:
    """Three images of each domain of the mini world (`notebook.world()`), and one person of each, enlarged."""
    rows: dict[Domain, tuple[str, CrowdDataset]] = {
        "source": ("source", world.source),
        "target": ("target", world.target),
        "third": ("third domain", world.third),
    }
    figure = Figure(figsize=(9.6, 5.7), layout="constrained")
    axes = figure.subplots(3, 4, width_ratios=(4, 4, 4, 2.2))
    for row, (domain, (name, dataset)) in zip(axes, rows.items(), strict=True):
        for axis, index in zip(row, SHOWN, strict=False):
            show_pixels(axis, dataset[index].image)
        row[0].text(-0.04, 0.5, name, transform=row[0].transAxes, rotation=90, ha="right", va="center")
        show_pixels(row[3], somebody(domain, dataset, SHOWN[0]))
    axes[0, 3].set_title("one person, enlarged")
    return figure


def somebody(domain: Domain, dataset: CrowdDataset, index: int) -> np.ndarray:
    """The tallest person who stands whole in a training image of the mini world of seed 0, cut out of it."""
    image = dataset[index].image
    height, width = image.shape[:2]
    people = sample_scene(scene_generator(0, domain, "train", index), domain).people
    whole = [p for p in people if p.feet < height - 2 and p.height / 2 < p.x < width - p.height / 2]
    person = max(whole, key=lambda p: p.height)
    half = int(0.62 * person.height)
    x, y = int(person.x), int((person.top + person.feet) / 2)
    return image[max(y - half, 0) : y + half, max(x - half, 0) : x + half]


def counts(before: Results, after: Results) -> Figure:
    """Predicted against true counts, and the error of each image: the same images before and after adaptation."""
    figure = Figure(figsize=(9.6, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    looks = (
        ("without adaptation", before, colours.METHODS["noadapt"], "o"),
        ("adapted (SE+FD)", after, colours.METHODS["se+fd"], "^"),
    )
    true = np.array([row.count for row in before.rows])
    errors = [np.abs([row.predicted - row.count for row in found.rows]) for found in (before, after)]
    left.plot([10, 700], [10, 700], color=colours.BLACK, linewidth=0.8)
    for name, found, colour, marker in looks:
        left.scatter(
            true, [row.predicted for row in found.rows], s=26, color=colour, marker=marker, label=name, zorder=3
        )
    left.set(xscale="log", yscale="log", xlim=(10, 700), ylim=(10, 700))
    left.set(xlabel="true count, people", ylabel="predicted count, people")
    people = [10, 20, 50, 100, 200, 500]
    left.set_xticks(people, map(str, people))
    left.set_yticks(people, map(str, people))
    left.minorticks_off()
    left.legend(frameon=False, loc="lower right")
    order = np.argsort(errors[0])
    places = np.arange(len(order))
    right.vlines(places, *(error[order] for error in errors), color=colours.LIGHT, linewidth=1.5)
    for error, (_, _, colour, marker) in zip(errors, looks, strict=True):
        right.scatter(places, error[order], s=26, color=colour, marker=marker, zorder=3)
    right.set(yscale="symlog", ylim=(0, 700), xticks=[], ylabel="error of the count, people")
    right.set_xlabel(f"the {len(order)} images, by the error without adaptation")
    right.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    return figure


def show_results(*measured: dict[str, Any]) -> None:
    """Show `table_of_results`."""
    header = "MAE on the target, people", "trainings", "without adaptation", "SE+FD"
    display(Markdown(markdown_table(header, table_of_results(*measured))))


def table_of_results(mini: dict[str, Any], a: dict[str, Any], b: dict[str, Any]) -> list[list[str]]:
    """The MAE without adaptation and with SE+FD, of the mini world and of photographs.

    Args:
        mini, a, b: the stored results "mini_world", "unity_to_shanghaitech_a" and "unity_to_shanghaitech_b".
    """
    names = "mini world", "photographs, ShanghaiTech A", "photographs, ShanghaiTech B"
    return [_row(name, measured) for name, measured in zip(names, (mini, a, b), strict=True)]


def _row(name: str, measured: dict[str, Any]) -> list[str]:
    maes = (measured["summary"][f"{method} / target"]["mae"] for method in (better_baseline(measured), "se+fd"))
    return [name, f"{len(measured['seeds'])}", *(f"{mae['mean']:.1f} ± {mae['sd']:.1f}" for mae in maes)]
