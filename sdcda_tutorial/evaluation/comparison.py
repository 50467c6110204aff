"""Checkpoints compared on one data set: their results, a Fig. 2 panel, and what goes onto their model cards."""

from __future__ import annotations

import datetime
import itertools
import math
import os
from collections.abc import Container, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from sdcda_tutorial.datasets.batches import DensityKernel
from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation import model_card
from sdcda_tutorial.evaluation import pictures as plotting
from sdcda_tutorial.evaluation.results import BEGINNINGS, Results, evaluate, is_csv, is_json
from sdcda_tutorial.files import in_one_line, refuse_other_file, require_writable
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.metrics import Variant
from sdcda_tutorial.networks import CrowdCounter
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.training import Hardware
from sdcda_tutorial.training.checkpoints import build, read_card, versions, weights_digest

PANEL = "Images, true density maps and predicted ones."  # how its description begins


def compare(
    checkpoints: Sequence[Path],
    dataset: CrowdDataset,
    out: Path,
    variant: Variant,
    about: dict[str, Any],
    hardware: Hardware | None = None,
) -> dict[str, Results]:
    """Evaluate checkpoints on one data set; write rows (TITLE.json, TITLE.csv) and a panel to `out`.

    Nothing is written before all images are counted. Files that an earlier evaluation left there are replaced, and
    links to such files stay links; a file of those names that is something else is refused before anything is counted.

    Args:
        hardware: where to count; several processes share the images.
    Returns:
        Title of each checkpoint -> its results.
    Raises:
        InputError: another process is evaluating to `out`, a file there is not an evaluation, or as in `evaluate`.
    """
    require_writable(out)
    panel = _behind_links(out / "panel.png")
    plotting.refuse_other_picture(panel, PANEL)
    fabric = (hardware or Hardware(precision="32-true")).launch()
    counters: dict[str, CrowdCounter] = {}
    options: dict[str, dict[str, Any]] = {}  # of `evaluate`
    for path in checkpoints:  # all of them before the first long evaluation
        counter, card, weights = model_card.load_measured(path)
        title = _title(path, counters)
        refuse_other_file(_behind_links(out / f"{title}.json"), BEGINNINGS["json"], is_json)
        refuse_other_file(_behind_links(out / f"{title}.csv"), BEGINNINGS["csv"], is_csv)
        counters[title], kernel = counter.to(fabric.device), build(partial(_kernel, card), path)
        chosen = build(partial(card.__getitem__, "chosen"), path)
        origin = {"title": title, "weights_sha256": weights, "chosen": chosen}
        origin |= {"data": dataset.describe(), "versions": versions(), **about}
        options[title] = {"kernel": kernel, "about": origin, "variant": variant, "fabric": fabric}
    with one_writer(out, fabric=fabric):  # all the time: files of two evaluations must not be mixed
        results = {title: evaluate(counter, dataset, **options[title]) for title, counter in counters.items()}
        for path, found in zip(checkpoints, results.values(), strict=True):
            if not math.isfinite(found.mae):
                raise InputError(f"a count of {path} is not a number: its weights are broken; use another checkpoint")
        if fabric.is_global_zero:
            for title, found in results.items():
                found.to_json(_behind_links(out / f"{title}.json"))
                found.to_csv(_behind_links(out / f"{title}.csv"))
            save_panel(panel, dataset, results, counters, next(iter(options.values()))["kernel"])
    return results


def measured_card(path: Path, found: Results) -> str:
    """Add results to the card of a run's model. Returns the card as text, with a line if they could not be added."""
    which = {key: found.about[key] for key in ("data", "split", "variant")}
    figures = {**which, **found.totals(), "date": datetime.date.today().isoformat()}
    measured = found.about["weights_sha256"]
    trouble = model_card.add_test(path, measured, figures)
    card = read_card(path) if path.is_file() else {}
    if not card or weights_digest(path) != measured:  # read first: it may be replaced in between
        return f"{in_one_line(path)} is no longer the model that was measured ({measured}); its card is not shown"
    return model_card.describe(path, card, measured) + (f"\n{trouble}" if trouble else "")


def save_panel(
    path: Path, dataset: CrowdDataset, results: Mapping[str, Results], counters: Mapping[str, nn.Module],
    kernel: DensityKernel,
) -> None:  # fmt: skip
    """The Fig. 2 panel: image, truth, one column for each method.

    The images are those at the 50th, 70th and 90th percentile of the first method's absolute error, so that neither the
    best nor the worst is picked by hand.
    """
    order = np.argsort(np.abs([row.error for row in next(iter(results.values())).rows]))
    chosen = [int(order[round(q * (len(order) - 1))]) for q in (0.5, 0.7, 0.9)]
    samples = [dataset[index] for index in dict.fromkeys(chosen)]  # a small data set has fewer images than that
    predictions = {title: [predict_density(m, sample.image) for sample in samples] for title, m in counters.items()}
    figure = plotting.panel(samples, [kernel.draw(sample) for sample in samples], predictions)
    counts = "; ".join(
        f"{sample.name}: {sample.count} people, "
        + ", ".join(f"{title} predicts {float(maps[i].sum()):.1f}" for title, maps in predictions.items())
        for i, sample in enumerate(samples)
    )
    plotting.save(figure, path, f"{PANEL} {counts}.")


def _behind_links(path: Path) -> Path:
    """What is replaced where `path` is written, so that a link stays a link."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _kernel(card: Mapping[str, Any]) -> DensityKernel:
    kernel = DensityKernel(**card["config"]["kernel"])
    points = np.full((2, 2), 8, dtype=np.float32)
    kernel.draw(Sample(np.zeros((16, 16, 3), np.uint8), points))  # an error shows here, where the file is known
    return kernel


def _title(path: Path, taken: Container[str]) -> str:
    """A checkpoint has the name of its run's folder, or its own where that is not just "model"."""
    name = path.resolve().parent.name if path.stem == "model" else path.stem
    return next(t for t in itertools.chain([name], (f"{name}-{n}" for n in itertools.count(2))) if t not in taken)
