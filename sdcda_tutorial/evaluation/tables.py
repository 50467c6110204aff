"""The table that `sdcda evaluate` prints."""

from __future__ import annotations

from collections.abc import Mapping

from sdcda_tutorial.evaluation.metric_table import METRICS, partly
from sdcda_tutorial.evaluation.results import Results
from sdcda_tutorial.files import in_one_line
from sdcda_tutorial.markdown import markdown_table


def rows(results: Mapping[str, Results]) -> str:
    """A Markdown table like Table 1, title -> results: a row for each method, a column for each metric."""
    totals = [found.totals() for found in results.values()]
    shown = [m for m in METRICS.values() if m.shown != "files" and any(m.name in one for one in totals)]
    texts = [[in_one_line(title), *(m.text(getattr(found, m.name)) for m in shown)] for title, found in results.items()]
    return markdown_table(["method", *(metric.heading for metric in shown)], texts)


def table(results: Mapping[str, Results]) -> str:
    """The table of `rows`, and below it of how many images it is and what the last columns mean."""
    results = {in_one_line(title): found for title, found in results.items()}  # a title is the name of a folder
    totals = [found.totals() for found in results.values()]
    first = next(iter(results.values()))
    outside, variant = first.about.get("points_outside"), first.about.get("variant", "standard")
    kernels = {title: _kernel(found) for title, found in results.items()}
    differ = len({*kernels.values()}) > 1
    fewer = {title: partly(one) for title, one in zip(results, totals, strict=True)}
    return (
        rows(results)
        + f"\n{len(first.rows)} images, {first.mean_count:.1f} people each on average"
        + (f", without {outside} annotated points that lie outside their images" if outside else "")
        + ". background: people predicted where the true map is zero, out of reach of every head's kernel; crowd: "
        "people predicted too many (+) or too few (-) elsewhere."
        + (" PSNR and SSIM are computed as the authors' later code does." if variant == "authors" else "")
        + "".join(f" {title}: {part}, where it is finite." for title, part in fewer.items() if part)
        + ("" if not differ else _OF_KERNELS.format("; ".join(f"{title}: {has}" for title, has in kernels.items())))
    )


_OF_KERNELS = (
    "\nThe true maps differ, because every model is measured with the kernel that it was trained with ({}): do not "
    "compare PSNR, SSIM, GAME, background or crowd between them; MAE and MSE do not depend on it."
)


def _kernel(found: Results) -> str:
    return "{kernel}, σ {sigma:g}, {kernel_size} pixels wide".format_map(found.about["kernel"])
