"""Results as a person reads them: tables in the terminal and in Markdown, the Fig. 2 panel, the demo's folder."""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sdcda_tutorial.datasets.batches import DensityKernel
from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset
from sdcda_tutorial.datasets.images import image_size, read_image_at_least
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.datasets.transforms import resize_image
from sdcda_tutorial.evaluation import model_card
from sdcda_tutorial.evaluation.results import Results, evaluate, predict_density
from sdcda_tutorial.files import file_digest, write_json, write_text
from sdcda_tutorial.metrics import Variant
from sdcda_tutorial.networks import CrowdCounter
from sdcda_tutorial.training import Hardware
from sdcda_tutorial.training.checkpoints import build, load_counter, versions, weights_digest

# What `spread_table` shows of a benchmark, with the decimals of the column.
SPREAD = {"mae": 1, "mae_percent_of_mean_count": 1, "mse": 1, "psnr": 1, "ssim": 3, "background": 1, "crowd": 1}
HEADER = ("method", "MAE", "MSE", "PSNR", "SSIM", "background", "crowd")


def table(results: Mapping[str, Results]) -> str:
    """A Markdown table like Table 1: a method a row, then where the error lies, in people an image."""
    rows = [
        [
            title,
            f"{r.mae:.2f}",
            f"{r.mse:.2f}",
            f"{r.psnr:.2f}",
            f"{r.ssim:.3f}",
            f"{r.background:.2f}",
            f"{r.crowd:+.2f}",
        ]
        for title, r in results.items()
    ]
    first = next(iter(results.values()))
    return (
        _markdown(HEADER, rows)
        + f"\n{len(first.rows)} images, {first.mean_count:.1f} people each on average. background: people predicted "
        "where nobody is; crowd: people predicted too many (+) or too few (-) where there are some."
    )


def spread_table(found: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Mean ± standard deviation over a benchmark's seeds, on the target; the source's MAE where it was measured."""
    summary = found["summary"]
    methods = [key.removesuffix(" / target") for key in summary if key.endswith(" / target")]
    header = ["method", "MAE", "% of mean count", "MSE", "PSNR", "SSIM", "background", "crowd"]
    rows = [
        [titles.get(method, method)]
        + [_plus_minus(summary[f"{method} / target"][name], digits) for name, digits in SPREAD.items()]
        for method in methods
    ]
    if any(f"{method} / source" in summary for method in methods):
        header.append("source MAE, %")
        for method, row in zip(methods, rows, strict=True):
            row.append(_plus_minus(summary[f"{method} / source"]["mae_percent_of_mean_count"], 1))
    seeds = ", ".join(str(seed) for seed in found["seeds"])
    return _markdown(tuple(header), rows) + f"\nmean ± standard deviation over seeds {seeds}"


def difference_table(found: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Each method's MAE minus that of its `comparison.baseline`, on the same seeds and images."""
    rows = [
        [
            titles.get(method, method),
            titles.get(one["against"], one["against"]),
            f"{one['mae']:+.1f}",
            f"{one['low']:+.1f} to {one['high']:+.1f}",
            f"{one['lower_on']} of {one['seeds']}",
        ]
        for method, one in found["differences"].items()
    ]
    return (
        _markdown(("method", "minus", "MAE", "95 % interval", "lower on"), rows)
        + "\nmean over seeds; the interval is a bootstrap's over seeds and images"
    )


def save_panel(
    path: Path,
    dataset: CrowdDataset,
    results: Mapping[str, Results],
    counters: Mapping[str, nn.Module],
    kernel: DensityKernel,
    images: int = 3,
) -> None:
    """The Fig. 2 panel: image, truth, one column a method.

    The images are those at the 50th, 70th and 90th percentile of the first method's absolute error, so neither the
    best nor the worst is picked by hand.
    """
    from sdcda_tutorial.evaluation import pictures as plotting

    errors = np.abs([row.error for row in next(iter(results.values())).rows])
    order = np.argsort(errors)
    chosen = [int(order[round(q * (len(order) - 1))]) for q in np.linspace(0.5, 0.9, images)]
    samples = [dataset[index] for index in dict.fromkeys(chosen)]  # a small data set has fewer images than that
    predictions = {title: [predict_density(m, sample.image) for sample in samples] for title, m in counters.items()}
    figure = plotting.panel(samples, [kernel.draw(sample) for sample in samples], predictions)
    counts = "; ".join(
        f"{sample.name}: {sample.count} people, "
        + ", ".join(f"{title} predicts {float(maps[i].sum()):.1f}" for title, maps in predictions.items())
        for i, sample in enumerate(samples)
    )
    plotting.save(figure, path, f"Images, true density maps and predicted ones. {counts}.")


def compare(
    checkpoints: Sequence[Path],
    dataset: CrowdDataset,
    out: Path,
    variant: Variant,
    about: dict[str, Any],
    hardware: Hardware | None = None,
) -> dict[str, Results]:
    """Evaluate checkpoints on one data set; write rows (TITLE.json, TITLE.csv) and panel to `out`; title -> results.

    Nothing is written before everything is counted. Files that an earlier evaluation left there are replaced.

    Args:
        hardware: where to count; several processes share the images.
    """
    fabric = (hardware or Hardware(precision="32-true")).launch()
    counters: dict[str, CrowdCounter] = {}
    kernels: dict[str, DensityKernel] = {}
    origins: dict[str, dict[str, Any]] = {}
    for path in checkpoints:  # all of them before the first long evaluation
        counter, card = load_counter(path)
        title = _title(path, counters)
        counters[title], kernels[title] = counter.to(fabric.device), build(partial(_kernel, card), path)
        chosen = build(partial(card.__getitem__, "chosen"), path)
        origins[title] = {"title": title, "weights_sha256": weights_digest(path), "chosen": chosen}
    about = {"data": dataset.describe(), "versions": versions(), **about}
    results = {}
    for title, counter in counters.items():
        origin = {**origins[title], **about}
        results[title] = evaluate(counter, dataset, kernel=kernels[title], variant=variant, about=origin, fabric=fabric)
    if fabric.is_global_zero:
        for title, found in results.items():
            found.to_json(out / f"{title}.json")
            found.to_csv(out / f"{title}.csv")
        save_panel(out / "panel.png", dataset, results, counters, next(iter(kernels.values())))
    return results


def measured_card(path: Path, found: Results) -> str:
    """Put what was measured into the card of a run's model; the card to read, and a line where that could not be."""
    totals = {name: value if math.isfinite(value) else None for name, value in found.totals().items()}
    which = {key: found.about[key] for key in ("data", "split", "variant")}
    figures = {**which, **totals, "date": datetime.date.today().isoformat()}
    trouble = model_card.add_test(path, found.about["weights_sha256"], figures)
    return model_card.text(path) + (f"\n{trouble}" if trouble else "")


def save_overlay(out: Path, photo: Path, counter: nn.Module, max_side: int | None = None) -> str:
    """Count the people of a photograph and write the overlay to `out`; says the count and where the overlay is.

    It is called like the photograph, and replaces nothing but an earlier overlay of the same photograph: where there
    is anything else (another photograph of that name, a picture of the user's own) it becomes NAME-2.png and so on.

    Args:
        max_side: a photograph whose longer side exceeds this is shrunk to it first.
    """
    from sdcda_tutorial.evaluation import pictures as plotting

    size = image_size(photo, upright=True)
    scale = 1.0 if max_side is None else min(1.0, max_side / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    image = resize_image(read_image_at_least(photo, (height, width), upright=True)[0], (height, width))
    density = predict_density(counter, image)
    origin = file_digest(photo)
    names = itertools.chain([f"{photo.stem}.png"], (f"{photo.stem}-{number}.png" for number in itertools.count(2)))
    paths = (out / name for name in names)
    path = next(path for path in paths if not path.exists() or plotting.origin_of(path) == origin)
    count = f"{float(density.sum(dtype=torch.float64)):.1f} people"
    description = f"{photo.name} with the predicted density: {count}"
    plotting.save(plotting.overlay(image, density), path, description, origin)
    return f"{count}, {path}"


def save_demo(out: Path, found: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Write the table, the JSON and the panel of the demo to `out`, and say the table."""
    results: Mapping[str, Results] = found["results"]
    text = table(results)
    write_text(out / "table.md", text + "\n")
    write_json(
        out / "results.json",
        {"provenance": found["provenance"], "totals": {title: r.totals() for title, r in results.items()}},
    )
    save_panel(out / "panel.png", found["dataset"], results, found["counters"], found["kernel"])
    say(f"\n{text}\n\ntable.md, results.json and panel.png are in {out}")


def _kernel(card: Mapping[str, Any]) -> DensityKernel:
    kernel = DensityKernel(**card["config"]["kernel"])
    points = np.full((2, 2), 8, dtype=np.float32)
    kernel.draw(Sample(np.zeros((16, 16, 3), np.uint8), points))  # what cannot be drawn shows here, with its file
    return kernel


def _title(path: Path, taken: Container[str]) -> str:
    """A checkpoint is known by its run's folder, or by its own name where that is not the same for all."""
    name = path.resolve().parent.name if path.stem == "model" else path.stem
    return next(t for t in itertools.chain([name], (f"{name}-{n}" for n in itertools.count(2))) if t not in taken)


def _plus_minus(figure: Mapping[str, float | None], digits: int) -> str:
    mean, sd = figure["mean"], figure["sd"]
    if mean is None:
        return "–"
    return f"{mean:.{digits}f}" + (f" ± {sd:.{digits}f}" if sd is not None else "")


def _markdown(header: tuple[str, ...], rows: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in [list(header), *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        padded = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
    return "\n".join([line(list(header)), rule, *(line(row) for row in rows)])
