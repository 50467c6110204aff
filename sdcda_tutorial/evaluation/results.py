"""A counter and a labelled data set in; per-image rows and totals out.

Images are seen at full resolution, large ones in tiles (`inference`). Besides the paper's four figures there are two
that say *where* the error lies. The background is where the true density map is zero, out of reach of every head's
kernel:

    background error = people predicted on the background
    crowd error      = people predicted elsewhere, less the true count

They add up to the signed error of the count.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from sdcda_tutorial import masks, metrics
from sdcda_tutorial.datasets.batches import DensityKernel
from sdcda_tutorial.datasets.formats.image_folder import ImageFolder
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import read_json, write_json, write_text
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.training.processes import shared_out


@dataclass(frozen=True)
class Row:
    """One image; counts in people, NaN where a figure is undefined (no head in the image)."""

    name: str
    count: int
    predicted: float
    background: float
    crowd: float
    psnr: float
    ssim: float

    @property
    def error(self) -> float:
        return self.predicted - self.count


@dataclass(frozen=True)
class Results:
    """Rows and what they amount to. Means of PSNR and SSIM are over the images where they are defined.

    Attributes:
        rows: one per image, in the order of the data set.
        about: data set, checkpoint, kernel, seeds, versions: how to get these figures again.
    """

    rows: list[Row]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def mae(self) -> float:
        """Mean absolute error of the counts, Eq. 11."""
        return self._count_errors()[0]

    @property
    def mse(self) -> float:
        """Root of the mean squared error of the counts, Eq. 11."""
        return self._count_errors()[1]

    @property
    def psnr(self) -> float:
        return _mean([row.psnr for row in self.rows])

    @property
    def ssim(self) -> float:
        return _mean([row.ssim for row in self.rows])

    @property
    def background(self) -> float:
        """Mean over images of the people predicted on the background."""
        return _mean([row.background for row in self.rows])

    @property
    def crowd(self) -> float:
        """Mean over images of the signed error off the background: below zero, people are missed."""
        return _mean([row.crowd for row in self.rows])

    @property
    def mean_count(self) -> float:
        return _mean([float(row.count) for row in self.rows])

    def totals(self) -> dict[str, float]:
        """The figures of Table 1, where the error lies, and the mean count to compare them with."""
        names = ("mae", "mse", "psnr", "ssim", "background", "crowd", "mean_count")
        return {name: round(getattr(self, name), 4) for name in names} | {"images": len(self.rows)}

    def to_json(self, path: str | Path) -> None:
        """Write totals, rows and origin atomically. A NaN becomes null: JSON has none."""
        rows = [
            {key: (None if isinstance(v, float) and not np.isfinite(v) else v) for key, v in asdict(row).items()}
            for row in self.rows
        ]
        totals = {key: None if not np.isfinite(value) else value for key, value in self.totals().items()}
        write_json(path, {"totals": totals, "about": self.about, "rows": rows})

    @classmethod
    def from_json(cls, path: str | Path) -> Results:
        """Read what `to_json` wrote."""
        stored = read_json(path)
        try:
            rows = []
            for row in stored["rows"]:
                known: dict[str, Any] = {key: np.nan if value is None else value for key, value in row.items()}
                rows.append(Row(**known))
            return cls(rows, stored["about"])
        except (KeyError, TypeError, AttributeError):
            raise InputError(f"{path} holds no evaluation; make one with `evaluate`") from None

    def to_csv(self, path: str | Path) -> None:
        """Write the rows as a table that a spreadsheet opens."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(asdict(self.rows[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {key: round(v, 4) if isinstance(v, float) else v for key, v in asdict(r).items()} for r in self.rows
        )
        write_text(path, text.getvalue())

    def _count_errors(self) -> tuple[float, float]:
        return metrics.count_errors([row.count for row in self.rows], [row.predicted for row in self.rows])


def evaluate(
    model: nn.Module,
    dataset: Sequence[Sample],
    *,
    kernel: DensityKernel | None = None,
    variant: metrics.Variant = "standard",
    about: dict[str, Any] | None = None,
    progress: bool = True,
    fabric: Fabric | None = None,
) -> Results:
    """Count the people of every image of `dataset` with `model`.

    Args:
        model: maps images (1, 3, H, W) in [0, 1] to people per pixel (1, 1, H, W), such as `CrowdCounter`.
        dataset: labelled samples.
        kernel: draws the true maps for PSNR, SSIM and the background; that of the training.
        variant: of PSNR and SSIM, see `metrics`.
        about: kept with the results.
        fabric: its processes share the images; all of them get all results.
    Raises:
        InputError: the data set is empty, has no labels, or holds a broken file.
    """
    refuse_unlabelled(dataset)
    kernel = kernel or DensityKernel()

    def measure(index: int) -> Row:
        sample = dataset[index]
        predicted = predict_density(model, sample.image)
        truth = kernel.draw(sample)
        background = float(metrics.on_background(predicted, truth).sum())
        total = float(predicted.sum(dtype=torch.float64))
        return Row(
            name=sample.name,
            count=sample.count,
            predicted=total,
            background=background,
            crowd=total - background - sample.count,
            psnr=metrics.psnr(predicted, truth, variant),
            ssim=metrics.ssim(predicted, truth, variant),
        )

    rows = shared_out(measure, len(dataset), fabric, bar="evaluate" if progress else None)
    if not rows:
        raise InputError("the data set to evaluate on is empty")
    return Results(rows, {**(about or {}), "kernel": asdict(kernel), "variant": variant})


def refuse_unlabelled(dataset: Sequence[Sample]) -> None:
    """Raise an InputError for a data set without labels: against zeros any figure would be nonsense."""
    if isinstance(dataset, ImageFolder):
        raise InputError(f"{dataset.name} has no labels to measure against; `predict_density` counts without them")


def mask_quality(dataset: Sequence[Sample], folder: str | Path) -> dict[str, float]:
    """How good are the pseudo-masks in `folder`, measured with head points: for reports, never for training.

    Returns:
        heads_inside: share of the heads that lie on crowd pixels. The others are taught as background: it should be 1.
        crowd_share: share of all pixels that are called crowd; what is left is what Eq. 9 can learn from.
    """
    inside, heads, shares = 0, 0, []
    for sample in dataset:
        mask = masks.read_png(masks.path_of(folder, sample.name), sample.size)
        columns, rows = sample.points.astype(int).T
        inside, heads = inside + int(mask[rows, columns].sum()), heads + sample.count
        shares.append(float(mask.mean()))
    return {"heads_inside": inside / heads if heads else float("nan"), "crowd_share": float(np.mean(shares))}


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
