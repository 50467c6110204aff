"""The metrics of an evaluation, one entry each, and the row of an image that they are computed from.

To add a metric, write its function in `metrics` and its entry in `METRICS`. It then stands in the rows and totals of
evaluations (JSON and CSV), in the tables of `sdcda evaluate` and `sdcda benchmark`, and on model cards. Files from
before lack it: their totals leave it out, and tables show a dash.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from sdcda_tutorial import metrics
from sdcda_tutorial.metrics import Variant, game


@dataclass(frozen=True)
class Row:
    """One image; counts in people.

    Attributes:
        count: true number of people.
        predicted: sum of the predicted map.
        background: people predicted where the true map is zero, out of reach of every head's kernel.
        crowd: people predicted elsewhere, minus the true count; with `background` it adds up to `error`.
        figures: metric -> value, NaN where it is undefined. They are attributes too: `row.psnr`.
    """

    name: str
    count: int
    predicted: float
    background: float
    crowd: float
    figures: Mapping[str, float]

    @property
    def error(self) -> float:
        return self.predicted - self.count

    def __getattr__(self, name: str) -> float:
        try:
            return float(self.__dict__["figures"][name])
        except KeyError:
            raise AttributeError(f"{name} was not measured") from None


@dataclass(frozen=True)
class Metric:
    """How a metric is computed and shown. It has one of the two functions.

    Attributes:
        heading: of its column.
        of_image: predicted map (H, W), true map (H, W), variant of PSNR and SSIM -> value for one image. The total is
            the mean over the images where that is finite.
        of_rows: all rows -> total, for metrics of the counts.
        form: format of a total.
        digits: decimals of a mean over seeds.
        shown: "files" for JSON and CSV only, "tables" for tables as well, "everywhere" for model cards as well.
    """

    name: str
    heading: str
    of_image: Callable[[Tensor, Tensor, Variant], float] | None = None
    of_rows: Callable[[Sequence[Row]], float] | None = None
    form: str = ".2f"
    digits: int = 1
    shown: Literal["files", "tables", "everywhere"] = "everywhere"

    def total(self, rows: Sequence[Row]) -> float:
        """The value for a data set; NaN where it is undefined, or was not measured."""
        if self.of_rows is not None:
            return self.of_rows(rows)
        values = (row.figures.get(self.name, math.nan) for row in rows)
        return mean([value for value in values if math.isfinite(value)])

    def images(self, rows: Sequence[Row]) -> int:
        """How many images the total is of: for a mean over images, those where the value is finite."""
        of_image = self.of_image is not None
        return sum(math.isfinite(row.figures.get(self.name, math.nan)) for row in rows) if of_image else len(rows)

    def text(self, total: float | None) -> str:
        """A total as tables show it."""
        return "–" if total is None or math.isnan(total) else f"{total:{self.form}}"


def partly(totals: Mapping[str, Any]) -> str:
    """Which means leave out images, with how many they are of: "PSNR over 3, SSIM over 4 of 5 images"; else empty."""
    counts = {metric.heading: totals.get(f"{name}_images") for name, metric in METRICS.items()}
    parts = ", ".join(f"{heading} over {number}" for heading, number in counts.items() if number is not None)
    return parts and f"{parts} of {totals['images']} images"


def mean(values: Sequence[float]) -> float:
    """Mean of all values, so NaN where one is; NaN where there is none."""
    return float(np.mean(values)) if values else math.nan


def _count_errors(rows: Sequence[Row]) -> tuple[float, float]:
    return metrics.count_errors([row.count for row in rows], [row.predicted for row in rows])


# In the order of the columns: Table 1 of the paper, the field's GAME, and where the error lies.
METRICS = {
    metric.name: metric
    for metric in (
        Metric("mae", "MAE", of_rows=lambda rows: _count_errors(rows)[0]),
        Metric("mse", "MSE", of_rows=lambda rows: _count_errors(rows)[1]),
        Metric("psnr", "PSNR", metrics.psnr),
        Metric("ssim", "SSIM", metrics.ssim, form=".3f", digits=3),
        Metric("game0", "GAME(0)", lambda pred, truth, _: game(pred, truth, 0), shown="files"),  # it is the MAE
        Metric("game1", "GAME(1)", lambda pred, truth, _: game(pred, truth, 1)),
        Metric("game2", "GAME(2)", lambda pred, truth, _: game(pred, truth, 2)),
        Metric("game3", "GAME(3)", lambda pred, truth, _: game(pred, truth, 3)),
        Metric("background", "background", of_rows=lambda rows: mean([r.background for r in rows]), shown="tables"),
        Metric("crowd", "crowd", of_rows=lambda rows: mean([r.crowd for r in rows]), form="+.2f", shown="tables"),
    )
}
