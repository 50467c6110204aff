"""Measure a counter on a labelled data set: a row for each image, and totals.

Images are seen at full resolution, large ones in tiles (`prediction`). `metric_table` lists the metrics.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from sdcda_tutorial import masks, metrics
from sdcda_tutorial.datasets.batches import DensityKernel
from sdcda_tutorial.datasets.sample import Sample, refuse_unlabelled
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.metric_table import METRICS, Row, mean
from sdcda_tutorial.files import json_digest, parse_json, read_json, write_json, write_text
from sdcda_tutorial.folding import folded
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.training.processes import shared_out

if TYPE_CHECKING:
    from lightning_fabric import Fabric  # slow to import

# By which an earlier file of ours is known.
BEGINNINGS = {"json": '{\n "totals": {', "csv": "name,count,predicted,background,crowd"}


def is_csv(text: str) -> bool:
    """Whether it is a table of `Results.to_csv` to which nobody has added a column or a row."""
    try:
        heading, *rows = csv.reader(io.StringIO(text, newline=""))
        [float(value or 0) for row in rows for value in row[1:]]
    except (csv.Error, ValueError):
        return False
    return {*heading} <= {*BEGINNINGS["csv"].split(","), *METRICS} and all(len(row) == len(heading) for row in rows)


def is_json(text: str) -> bool:
    """Whether it is a file of `Results.to_json` to which nobody has added anything beside its three parts."""
    try:
        stored = parse_json(text)
    except ValueError:
        return False
    return isinstance(stored, dict) and stored.keys() == {"totals", "about", "rows"}


@dataclass(frozen=True)
class Results:
    """Rows and their totals. Every metric is an attribute, unrounded: `results.mae`.

    Attributes:
        rows: one per image, in the order of the data set.
        about: data set, checkpoint, kernel, seeds, versions: how to reproduce these figures. Where annotated points lie
            outside their images, which are in no count, "points_outside" says how many.
    """

    rows: list[Row]
    about: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> float:
        if name not in METRICS:
            raise AttributeError(f"there is no metric {name}")
        return METRICS[name].total(self.rows)

    @property
    def mean_count(self) -> float:
        return mean([row.count for row in self.rows])

    def totals(self) -> dict[str, float | None]:
        """Every metric that was measured, rounded, None where it is undefined; the mean count; how many images.

        A mean over fewer images than there are says of how many, as "psnr_images": the others have no finite value.
        """
        known = [name for name, metric in METRICS.items() if metric.of_rows or name in self.rows[0].figures]
        rounded = {name: round(getattr(self, name), 4) for name in [*known, "mean_count"]}
        of = {f"{name}_images": METRICS[name].images(self.rows) for name in known} | {"images": len(self.rows)}
        fewer = {name: number for name, number in of.items() if name == "images" or number < len(self.rows)}
        return {name: _or_none(value) for name, value in rounded.items()} | fewer

    def to_json(self, path: str | Path) -> None:
        """Write totals, rows and origin atomically; a value that is not finite becomes null: JSON has no NaN."""
        write_json(path, {"totals": self.totals(), "about": self.about, "rows": self._plain_rows()})

    def digest(self) -> str:
        """Digest of the rows, by which a file shows that nobody has changed them since."""
        return json_digest(self._plain_rows())

    def _plain_rows(self) -> list[dict[str, Any]]:
        return [{key: _or_none(value) for key, value in _flat(row).items()} for row in self.rows]

    @classmethod
    def from_json(cls, path: str | Path) -> Results:
        """Read what `to_json` wrote, now or before a metric was added."""
        stored = read_json(path)
        try:
            rows = []
            for row in stored["rows"]:
                figures: dict[str, Any] = {k: math.nan if v is None else v + 0 for k, v in row.items() if k != "name"}
                counts = {key: figures.pop(key) for key in ("count", "predicted", "background", "crowd")}
                rows.append(Row(str(row["name"]), **counts, figures=figures))
            rows[0]  # an evaluation of nothing is refused when it is made
            return cls(rows, dict(stored["about"]))
        except (LookupError, TypeError, AttributeError, ValueError):
            raise InputError(f"{path} holds no evaluation; make one with `evaluate`") from None

    def to_csv(self, path: str | Path) -> None:
        """Write the rows as a table that a spreadsheet opens."""
        text = io.StringIO()
        rows = [{key: round(v, 4) if isinstance(v, float) else v for key, v in _flat(r).items()} for r in self.rows]
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, text.getvalue())


def _flat(row: Row) -> dict[str, Any]:
    columns = asdict(row)
    return columns | columns.pop("figures")


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
    """Count the people in every image of `dataset` with `model`; the next image is read meanwhile.

    Args:
        model: maps images (1, 3, H, W) in [0, 1] to people per pixel (1, 1, H, W), such as `CrowdCounter`.
        dataset: labelled samples.
        kernel: of the true maps, which define PSNR, SSIM, GAME and the background; that of the training.
        variant: of PSNR and SSIM, see `metrics`.
        about: stored with the results.
        fabric: its processes share the images; each of them gets all results.
    Raises:
        InputError: the data set is empty, has no labels, or holds a broken file.
    """
    refuse_unlabelled(dataset)
    kernel = kernel or DensityKernel()

    counter = folded(model)

    def measure(sample: Sample) -> tuple[Row, int]:
        sample.require_sound()
        predicted, truth = predict_density(counter, sample.image), kernel.draw(sample)
        background = float(metrics.on_background(predicted, truth).sum())
        total = float(predicted.sum(dtype=torch.float64))
        figures = {name: m.of_image(predicted, truth, variant) for name, m in METRICS.items() if m.of_image}
        row = Row(sample.name, sample.count, total, background, total - background - sample.count, figures)
        return row, sample.dropped

    measured = shared_out(measure, dataset, fabric, bar="evaluate" if progress else None)
    if not measured:
        raise InputError("the data set to evaluate on is empty")
    rows, dropped = zip(*measured, strict=True)
    found = {**(about or {}), "kernel": asdict(kernel), "variant": variant}
    return Results(list(rows), found | ({"points_outside": sum(dropped)} if any(dropped) else {}))


def mask_quality(dataset: Sequence[Sample], folder: str | Path) -> dict[str, float]:
    """How good the pseudo-masks in `folder` are, measured with head points: for reports, never for training.

    Returns:
        heads_inside: share of the heads on crowd pixels. The rest are taught as background, so it should be 1.
        crowd_share: share of an image's pixels marked as crowd, mean over the images. Eq. 9 learns from the others.
    """
    inside, heads, shares = 0, 0, []
    for sample in dataset:
        sample.require_sound(labelled=False)
        mask = masks.read_png(masks.path_of(folder, sample.name), sample.size)
        columns, rows = sample.points.astype(int).T
        inside, heads = inside + int(mask[rows, columns].sum()), heads + sample.count
        shares.append(float(mask.mean()))
    return {"heads_inside": inside / heads if heads else math.nan, "crowd_share": float(np.mean(shares))}
