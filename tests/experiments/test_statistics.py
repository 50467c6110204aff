"""What a benchmark says of its cells: differences by hand, intervals that are as wide as they must be, pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdcda_tutorial.evaluation.metric_table import METRICS, Metric, Row
from sdcda_tutorial.evaluation.results import Results
from sdcda_tutorial.experiments import figures as comparison_plots
from sdcda_tutorial.experiments import statistics as comparison
from sdcda_tutorial.experiments.benchmark_rows import METHOD_TITLES
from sdcda_tutorial.experiments.statistics import counts, difference, differences, errors, summarise
from sdcda_tutorial.experiments.tables import spread_table

FIGURES = {"psnr": 20.0, "ssim": 0.5}
# Two seeds with two images each: true counts, and what was predicted in all and on the background.
TRUE = {7: [10, 20], 8: [0, 40]}
PREDICTED = {
    "noadapt": {7: [(16, 6), (20, 2)], 8: [(2, 2), (30, 0)]},  # errors 6, 0 and 2, 10: MAE 3 and 6
    "se": {7: [(11, 1), (19, 0)], 8: [(1, 1), (35, 5)]},  # errors 1, 1 and 1, 5: MAE 1 and 3
    "sfcn-noadapt": {7: [(10, 0), (20, 0)], 8: [(0, 0), (40, 0)]},
    "sfcn-se": {7: [(12, 2), (20, 0)], 8: [(0, 0), (44, 0)]},
}


def results(method: str, seed: int) -> Results:
    rows = [
        Row(str(i), true, float(all_), float(background), float(all_ - background - true), FIGURES)
        for i, (true, (all_, background)) in enumerate(zip(TRUE[seed], PREDICTED[method][seed], strict=True))
    ]
    return Results(rows)


def of_methods(*methods: str) -> dict[str, Any]:
    return summarise({s: {m: {"target": results(m, s)} for m in methods} for s in TRUE}, same_images=False)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return of_methods(*PREDICTED)


@pytest.mark.slow
def test_means_and_spread_by_hand(found: dict[str, Any]) -> None:
    assert found["summary"]["noadapt / target"]["mae"] == {"mean": 4.5, "sd": round(np.sqrt(4.5), 4)}  # 3 and 6
    percent = found["summary"]["se / target"]["mae_percent_of_mean_count"]
    assert percent["mean"] == pytest.approx((100 / 15 + 300 / 20) / 2, abs=1e-3)
    assert [cell["mae"] for cell in found["cells"] if cell["method"] == "se"] == [1, 3]


def test_spread_table_by_hand() -> None:
    def figures(mean: float, sd: float | None) -> dict[str, dict[str, float | None]]:
        names = ("mae", "mae_percent_of_mean_count", "mse", "psnr", "ssim", "background", "crowd")
        return {name: {"mean": mean, "sd": sd} for name in names}

    summary = {"se / source": figures(3.0, 1.0), "se / target": figures(12.34, 2.0), "fd / target": figures(0.5, None)}
    summary["fd / source"] = figures(7.0, None)
    lines = spread_table({"summary": summary, "seeds": [1, 2]}, {"se": "SE"}).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2] == ["SE", *["12.3 ± 2.0"] * 4, "12.340 ± 2.000", *["12.3 ± 2.0"] * 2, "3.0 ± 1.0"]
    assert cells[3] == ["fd", *["0.5"] * 4, "0.500", *["0.5"] * 2, "7.0"]  # the decimals are the column's
    assert lines[-1] == "mean ± standard deviation over seeds 1, 2"
    of_target = {key: value for key, value in summary.items() if key.endswith("target")}
    header, *rows, _ = spread_table({"summary": of_target, "seeds": [1]}, {}).splitlines()
    assert "source" not in header and {len(row) for row in rows} == {len(header)}


def test_a_metric_that_some_evaluations_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a method that was measured before the metric was added there is nothing; of one seed alone, a dash."""
    monkeypatch.setitem(METRICS, "new", Metric("new", "NEW", lambda pred, truth, _: 0.0, digits=2))

    def measured(value: float | None) -> dict[str, Results]:
        figures = FIGURES if value is None else {**FIGURES, "new": value}
        return {"target": Results([Row("", 1, 1.0, 0.0, 0.0, figures)])}

    per_seed = {
        seed: {"before": measured(None), "half": measured(half), "after": measured(after)}
        for seed, half, after in ((1, None, 1.0), (2, 3.0, 3.0))
    }
    found = summarise(per_seed, same_images=False)
    assert "new" not in found["summary"]["before / target"] and "game1" not in found["summary"]["after / target"]
    assert found["summary"]["after / target"]["new"] == {"mean": 2.0, "sd": 1.4142}
    lines = [[cell.strip() for cell in line.split("|")] for line in spread_table(found, {}).splitlines()]
    assert [lines[0][-2], *(line[-2] for line in lines[2:5])] == ["NEW", "–", "–", "2.00 ± 1.41"]
    assert "GAME(1)" not in lines[0]


def test_images_without_people_have_no_percentage() -> None:
    nobody = Results([Row("", 0, 1.0, 1.0, 0.0, {"psnr": float("nan"), "ssim": float("nan")})])
    summary = summarise({1: {"se": {"target": nobody}}}, same_images=True)["summary"]["se / target"]
    assert [summary[name]["mean"] for name in ("mae", "psnr", "mae_percent_of_mean_count")] == [1.0, None, None]


def test_the_table_says_of_how_many_images_a_mean_is() -> None:
    rows = [Row("", 1, 1.0, 0.0, 0.0, FIGURES), Row("", 0, 1.0, 1.0, 0.0, {"psnr": float("nan"), "ssim": 1.0})]
    found = summarise({seed: {"se": {"target": Results(rows)}} for seed in (1, 2)}, same_images=True)
    assert spread_table(found, {}).endswith(" over seeds 1, 2; of runs PSNR over 1 of 2 images, where it is finite")


def test_every_image_is_kept(found: dict[str, Any]) -> None:
    assert [one.tolist() for one in counts(found, "se", "count")] == list(TRUE.values())
    assert [one.tolist() for one in counts(found, "se")] == [[11, 19], [1, 35]]
    assert [one.tolist() for one in counts(found, "se", "background")] == [[1, 0], [1, 5]]
    assert [one.tolist() for one in errors(found, "se")] == [[1, 1], [1, 5]]


def test_a_method_is_compared_with_no_adaptation_of_its_own_counter(found: dict[str, Any]) -> None:
    stored = found["differences"]
    assert {method: one["against"] for method, one in stored.items()} == {"se": "noadapt", "sfcn-se": "sfcn-noadapt"}
    assert (stored["se"]["mae"], stored["se"]["lower_on"], stored["se"]["seeds"]) == (-2.5, 2, 2)  # -2 and -3
    assert (stored["sfcn-se"]["mae"], stored["sfcn-se"]["lower_on"]) == (1.5, 0)  # +1 and +2
    assert stored["se"]["low"] <= -2.5 <= stored["se"]["high"]


def test_without_its_baseline_a_method_is_compared_with_nothing() -> None:
    only = summarise({7: {"se": {"target": results("se", 7)}}}, same_images=True)
    assert only["differences"] == {} and only["summary"]["se / target"]["mae"] == {"mean": 1.0, "sd": None}


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Twelve seeds of a known mean difference, spread by seed and by image: about 95 of 100 intervals hold it."""
    rng, hit, trials = np.random.default_rng(3), 0, 120
    for _ in range(trials):
        gains = [rng.normal(2 + rng.normal(0, 3), 5, 20) for _ in range(12)]
        one = difference(gains, [np.zeros(20)] * 12, "zero", same_images=False, draws=300)
        hit += one.low <= 2 <= one.high
    assert 0.85 * trials <= hit <= trials - 1


def test_an_image_that_all_seeds_share_is_drawn_for_all_of_them() -> None:
    """One image in fifty makes the difference on every seed: whether it is drawn, and how often, is what is unsure."""
    gain = np.zeros(50)
    gain[0] = -100.0
    nothing = [np.zeros(50)] * 4
    shared = difference([gain] * 4, nothing, "zero", same_images=True)
    apart = difference([gain] * 4, nothing, "zero", same_images=False)
    assert shared.mae == apart.mae == -2.0 and shared.high == 0.0 > apart.high
    assert shared.high - shared.low > 1.5 * (apart.high - apart.low)


@pytest.mark.parametrize(
    ("a", "b", "same_images"),
    [((50,), (1,), False), ((5, 50), (5, 49), False), ((5, 50), (5, 50), True), ((5, 5), (5,), False)],
)
def test_errors_of_different_images_are_not_compared(a: tuple[int], b: tuple[int], same_images: bool) -> None:
    """One error would be taken from each of 50, or an image be drawn from the first five of every seed."""
    with pytest.raises(ValueError, match=r"not of the same images|shorter"):
        difference([np.ones(n) for n in a], [np.zeros(n) for n in b], "zero", same_images=same_images)
    apart = difference([np.ones(5), np.ones(50)], [np.zeros(5), np.zeros(50)], "zero", same_images=False)
    assert (apart.mae, apart.low, apart.high) == (1, 1, 1)


def test_the_same_figures_give_the_same_interval(found: dict[str, Any]) -> None:
    again = differences(found, same_images=False)["se"]
    assert vars(again) == found["differences"]["se"]


def test_the_interval_of_a_mean_by_hand() -> None:
    low, high = comparison_plots.interval_of_mean([1.0, 3.0])  # sd √2, t(0.975, 1) = 12.706
    assert (low, high) == pytest.approx((2 - 12.706, 2 + 12.706), abs=1e-3)
    assert comparison_plots.interval_of_mean([4.0]) == (4.0, 4.0)


@pytest.mark.slow
def test_pictures_show_what_was_found(found: dict[str, Any], tmp_path: Path) -> None:
    paths = comparison_plots.save_pictures(tmp_path, found, METHOD_TITLES)
    assert [path.name for path in paths] == ["mae.png", "crowd_size.png", "background_and_crowd.png"]
    for path in paths:
        with Image.open(path) as picture:
            assert picture.width > 500 and "2 seeds" in picture.info["Description"]
    (axis,) = comparison_plots.dot_plot(of_methods("se", "noadapt"), METHOD_TITLES).axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["SE", "NoAdapt"]
    dots = np.concatenate([np.asarray(points.get_offsets())[:, 0] for points in axis.collections])
    assert sorted(dots.tolist()) == [1, 3, 3, 6]
    axes = comparison_plots.error_by_crowd_size(of_methods("se"), METHOD_TITLES).axes
    fewest = np.concatenate([np.asarray(points.get_offsets())[:, 0] for points in axes[0].collections])
    assert sorted(fewest.tolist()) == [1, 1]  # of 10 people, and of none


def test_background_and_crowd_add_up_to_the_error() -> None:
    (axis,) = comparison_plots.background_against_crowd(of_methods("noadapt"), METHOD_TITLES).axes
    points = np.concatenate([np.asarray(drawn.get_offsets()) for drawn in axis.collections])
    assert sorted(points.sum(axis=1).tolist()) == [-4, 3]  # 16 + 20 less 30, and 2 + 30 less 40, an image


def test_the_baseline_of_a_counter() -> None:
    assert [comparison.baseline(m) for m in ("se+fd", "sfcn-cyclegan", "bn-target")] == [
        "noadapt", "sfcn-noadapt", "noadapt",
    ]  # fmt: skip
