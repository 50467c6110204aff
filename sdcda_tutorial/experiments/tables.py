"""The tables that `sdcda benchmark` prints: means with their spread over seeds, and differences between methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdcda_tutorial.evaluation.metric_table import METRICS, partly
from sdcda_tutorial.experiments.statistics import MAE_PERCENT
from sdcda_tutorial.markdown import markdown_table


def spread_table(found: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Mean ± standard deviation over a benchmark's seeds, on the target; the source's MAE where it was measured."""
    summary = found["summary"]
    of_target = {key.removesuffix(" / target"): one for key, one in summary.items() if key.endswith(" / target")}
    known = {name for figures in of_target.values() for name in figures}
    columns = [metric for metric in METRICS.values() if metric.shown != "files" and metric.name in known]
    columns.insert(1, MAE_PERCENT)  # beside the MAE
    header = ["method", *(metric.heading for metric in columns)]
    rows = [
        [titles.get(method, method), *(_plus_minus(figures.get(metric.name), metric.digits) for metric in columns)]
        for method, figures in of_target.items()
    ]
    if any(f"{method} / source" in summary for method in of_target):
        header.append("source MAE, %")
        for method, row in zip(of_target, rows, strict=True):
            row.append(_plus_minus(summary[f"{method} / source"][MAE_PERCENT.name], MAE_PERCENT.digits))
    seeds = ", ".join(map(str, found["seeds"]))
    cells = [cell for cell in found.get("cells", []) if cell["domain"] == "target"]
    parts = sorted({partly(cell) for cell in cells} - {""})
    fewer = f"; of runs {', or '.join(parts)}, where it is finite" if parts else ""
    return markdown_table(header, rows) + f"\nmean ± standard deviation over seeds {seeds}{fewer}"


def difference_table(found: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Each method's MAE minus that of its `statistics.baseline`, on the same seeds and images."""
    rows = []
    for method, one in found["differences"].items():
        names = [titles.get(name, name) for name in (method, one["against"])]
        interval = f"{one['low']:+.1f} to {one['high']:+.1f}"
        rows.append([*names, f"{one['mae']:+.1f}", interval, f"{one['lower_on']} of {one['seeds']}"])
    table = markdown_table(["method", "minus", "MAE", "95 % interval", "lower on"], rows)
    return f"{table}\nmean over seeds; the interval is a bootstrap's over seeds and images"


def _plus_minus(figure: Mapping[str, float | None] | None, digits: int) -> str:
    if figure is None or figure["mean"] is None:
        return "–"
    return f"{figure['mean']:.{digits}f}" + (f" ± {figure['sd']:.{digits}f}" if figure["sd"] is not None else "")
