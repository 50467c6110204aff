"""Results as a person reads them: tables in the terminal and in Markdown, the Fig. 2 panel, the demo's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from sdcda_tutorial.datasets.base import CrowdDataset
from sdcda_tutorial.evaluation import Results, predict_density
from sdcda_tutorial.files import write_json, write_text
from sdcda_tutorial.training.batches import DensityKernel

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
        + f"\n{len(first.rows)} images, {first.mean_count:.1f} people each on average. background: people predicted where "
        "nobody is; crowd: people predicted too many (+) or too few (-) where there are some."
    )


def spread_table(found: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Mean ± standard deviation over the seeds of a benchmark, on the target; the source's MAE for comparison."""
    rows = []
    for key, figures in found["summary"].items():
        method, domain = key.split(" / ")
        if domain == "target":
            source = found["summary"][f"{method} / source"]["mae_percent_of_mean_count"]
            names = ("mae", "mae_percent_of_mean_count", "mse", "psnr", "ssim", "background", "crowd")
            rows.append(
                [titles.get(method, method), *(_plus_minus(figures[name]) for name in names), _plus_minus(source)]
            )
    header = ("method", "MAE", "% of mean count", "MSE", "PSNR", "SSIM", "background", "crowd", "source MAE, %")
    seeds = ", ".join(str(seed) for seed in found["seeds"])
    return _markdown(header, rows) + f"\nmean ± standard deviation over seeds {seeds} (data and training)"


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
    from sdcda_tutorial import plotting

    errors = np.abs([row.error for row in next(iter(results.values())).rows])
    order = np.argsort(errors)
    chosen = [int(order[round(q * (len(order) - 1))]) for q in np.linspace(0.5, 0.9, images)]
    samples = [dataset[index] for index in chosen]
    predictions = {title: [predict_density(m, sample.image) for sample in samples] for title, m in counters.items()}
    figure = plotting.panel(samples, [kernel.draw(sample) for sample in samples], predictions)
    counts = "; ".join(
        f"{sample.name}: {sample.count} people, "
        + ", ".join(f"{title} predicts {float(maps[i].sum()):.1f}" for title, maps in predictions.items())
        for i, sample in enumerate(samples)
    )
    plotting.save(figure, path, f"Images, true density maps and predicted ones. {counts}.")


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


def _plus_minus(figure: Mapping[str, float | None]) -> str:
    mean, sd = figure["mean"], figure["sd"]
    digits = 3 if mean is not None and abs(mean) < 1.5 else 1
    return f"{mean:.{digits}f}" + (f" ± {sd:.{digits}f}" if sd is not None else "")


def _markdown(header: tuple[str, ...], rows: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in [list(header), *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        padded = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
    return "\n".join([line(list(header)), rule, *(line(row) for row in rows)])
