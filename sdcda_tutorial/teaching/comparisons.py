"""Tables of stored results for the notebooks: methods with their spread over seeds, and differences seed by seed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown

from sdcda_tutorial.evaluation.metric_table import METRICS
from sdcda_tutorial.experiments.benchmark_rows import titles
from sdcda_tutorial.experiments.figures import interval_of_mean, per_seed
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.paper import TABLE_1


def names(methods: Sequence[str]) -> dict[str, str]:
    """name -> title, with the symbols of the paper: "SE, λs = 0.1", "SE, masks: none"."""
    found = titles(methods)
    return {
        name: re.sub(r"lambda_(\w) ([^, ]+)", _weight, title).replace("masks ", "masks: ")
        for name, title in found.items()
    }


def _weight(setting: re.Match[str]) -> str:
    return f"λ{setting[1]} = {plain(setting[2])}"


def plain(number: str) -> str:
    """Without an exponent: "1e-05" is 0.00001."""
    return np.format_float_positional(float(number), trim="-")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Markdown:
    """A table that a notebook shows: first column left, the others right, no cell broken over two lines."""
    unbroken = [[cell.replace(" ", "\N{NO-BREAK SPACE}") for cell in row] for row in (header, *rows)]
    return Markdown(markdown_table(unbroken[0], unbroken[1:]))


def spread(
    found: Mapping[str, Any], methods: Sequence[str], figures: Sequence[str], domain: str = "target"
) -> Markdown:
    """Mean ± standard deviation over the seeds of a benchmark: a row per method, a column per figure such as "mae"."""
    title, columns = names(methods), [METRICS[figure] for figure in figures]
    rows = []
    for method in methods:
        of_method = found["summary"][f"{method} / {domain}"]
        rows.append([title[method], *(plus_minus(of_method[column.name], column.digits) for column in columns)])
    return table(["method", *(column.heading for column in columns)], rows)


def plus_minus(figure: Mapping[str, float], digits: int = 1) -> str:
    """A mean and its standard deviation, as they are stored: "8.9 ± 0.8"."""
    return f"{figure['mean']:.{digits}f} ± {figure['sd']:.{digits}f}"


def differences(found: Mapping[str, Any], pairs: Sequence[tuple[str, str]]) -> Markdown:
    """MAE on the target of A minus that of B: each seed, their mean, its 95 % interval, and on how many A is lower."""
    title, rows = names([method for pair in pairs for method in pair]), []
    for a, b in pairs:
        gains = per_seed(found, a) - per_seed(found, b)
        rows.append([f"{title[a]} − {title[b]}", *map(_signed, gains), *_summary(gains)])
    return table(["A − B", *(f"seed {seed}" for seed in found["seeds"]), "mean", "95 % interval", "A lower on"], rows)


def variants(found: Mapping[str, Any], method: str, changed: Sequence[str]) -> Markdown:
    """A method and its variants: MAE, background and crowd, and the MAE less that of the method, seed by seed.

    Args:
        changed: the variants' names, such as "se@masks=none", or any other methods.
    """
    title, rows = names([method, *changed]), []
    for one in (method, *changed):
        of_one = found["summary"][f"{one} / target"]
        cells = [
            plus_minus(of_one["mae"]),
            *(f"{of_one[part]['mean']:+.1f}".replace("-", "−") for part in ("background", "crowd")),
        ]
        gains = per_seed(found, one) - per_seed(found, method)
        rows.append([title[one], *cells, *(["–"] * 3 if one == method else _summary(gains))])
    header = ["", "MAE", "background", "crowd", f"MAE − MAE of {title[method]}", "95 % interval", "lower on"]
    return table(header, rows)


def _summary(gains: np.ndarray) -> list[str]:
    low, high = interval_of_mean(gains)
    return [_signed(gains.mean()), f"{_signed(low)} to {_signed(high)}", f"{(gains < 0).sum()} of {len(gains)}"]


def _signed(value: float) -> str:
    """With one decimal, or two where one would hide on which side of zero it lies."""
    return (f"{value:+.2f}" if abs(value) < 0.05 else f"{value:+.1f}").replace("-", "−")


PAPER_ROWS = {
    "sfcn-noadapt": "NoAdpt [16]",
    "sfcn-cyclegan": "Cycle GAN [26]",
    "sfcn-se-cyclegan": "SE Cycle GAN [16]",
    "noadapt": "NoAdpt (ours)",
    "se+fd": "SE+FD",
}
_DIGITS = {"mae": 1, "mse": 1, "psnr": 2, "ssim": 3}  # of the paper


def beside_the_paper(found: Mapping[str, Any], first: str, second: str) -> Markdown:
    """The paper's Table 1 with a column of our own: two figures a cell, such as "mae" and "mse".

    Args:
        found: a benchmark of the five methods of the table, with the counters that they have there.
    """
    datasets = list(dict.fromkeys(score.dataset for score in TABLE_1))
    rows = []
    for method, name in PAPER_ROWS.items():
        ours = found["summary"][f"{method} / target"]
        row = [name, " / ".join(plus_minus(ours[figure], METRICS[figure].digits) for figure in (first, second))]
        for dataset in datasets:
            (score,) = (one for one in TABLE_1 if (one.method, one.dataset) == (name, dataset))
            row.append(" / ".join(f"{getattr(score, figure):.{_DIGITS[figure]}f}" for figure in (first, second)))
        rows.append(row)
    return table([f"{METRICS[first].heading} / {METRICS[second].heading}", "mini world, here", *datasets], rows)
