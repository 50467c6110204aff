"""What the texts say of the stored results is what the stored results say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdcda_tutorial.benchmark_methods import GROUPS
from sdcda_tutorial.training import MINI
from sdcda_tutorial.training.checkpoints import load, load_counter, load_segmenter

ROOT = Path(__file__).parents[1]
RESULTS, CHECKPOINTS = ROOT / "data/results", ROOT / "data/checkpoints"
FIGURES = ("mae", "mse", "psnr", "ssim", "background", "crowd")


@pytest.fixture(scope="module")
def mini_world() -> dict[str, Any]:
    return json.loads((RESULTS / "mini_world.json").read_text(encoding="utf-8"))


def values(found: dict[str, Any], method: str, domain: str, figure: str) -> list[float]:
    cells = [cell for cell in found["cells"] if (cell["method"], cell["domain"]) == (method, domain)]
    if figure == "percent":
        return [100 * cell["mae"] / cell["mean_count"] for cell in cells]
    return [cell[figure] for cell in cells]


def test_the_summary_is_that_of_the_cells(mini_world: dict[str, Any]) -> None:
    assert len(mini_world["seeds"]) >= 5 and len(mini_world["cells"]) == 2 * 7 * len(mini_world["seeds"])
    for key, summary in mini_world["summary"].items():
        method, domain = key.split(" / ")
        for figure in FIGURES:
            of_seeds = values(mini_world, method, domain, figure)
            assert len(of_seeds) == len(mini_world["seeds"])
            assert summary[figure]["mean"] == pytest.approx(np.mean(of_seeds), abs=1e-3)
            assert summary[figure]["sd"] == pytest.approx(np.std(of_seeds, ddof=1), abs=1e-3)


def test_results_say_how_they_were_made(mini_world: dict[str, Any]) -> None:
    for name in ("mini_world", "mini_world_first_confirmation"):
        stored = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        assert stored["command"].startswith("sdcda ")
        made = stored["provenance"]
        assert made["date"] and made["versions"]["torch"] and made["hardware"]["cores"]
    development = json.loads((RESULTS / "mini_world_development.json").read_text(encoding="utf-8"))
    tuned_on = {run["seed"] for stage in development["stages"] for run in stage["runs"]}
    assert not tuned_on & set(mini_world["seeds"])  # nothing that is reported was tuned on


def test_readme_table_is_the_stored_result(mini_world: dict[str, Any]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \|((?: -?[\d.]+ ± [\d.]+ \|){4})$", text, flags=re.M)
    assert len(rows) == len(GROUPS["ablation"])
    for method, row in zip(GROUPS["ablation"], rows, strict=True):
        columns = [("target", "percent"), ("target", "background"), ("target", "psnr"), ("source", "percent")]
        for (domain, figure), cell in zip(columns, row.strip(" |").split(" | "), strict=True):
            mean, sd = (float(number) for number in cell.split(" ± "))
            of_seeds = values(mini_world, method, domain, figure)
            digits = len(cell.split(" ")[0].partition(".")[2])
            half = 0.51 * 10**-digits
            assert mean == pytest.approx(np.mean(of_seeds), abs=half), (method, domain, figure)
            assert sd == pytest.approx(np.std(of_seeds, ddof=1), abs=half), (method, domain, figure)


@pytest.mark.parametrize("method", [*GROUPS["ablation"], "segmenter"])
def test_kept_models_are_small_load_and_tell_where_they_are_from(method: str, mini_world: dict[str, Any]) -> None:
    path = CHECKPOINTS / f"{method}.safetensors"
    assert path.stat().st_size < 1.5e6
    _, card = load(path)
    assert (card["method"], card["seed"]) == (method, mini_world["seeds"][0])
    if method == "segmenter":
        load_segmenter(path)
        return
    load_counter(path)
    for domain in ("source", "target"):
        (cell,) = (
            c for c in mini_world["cells"] if (c["seed"], c["method"], c["domain"]) == (card["seed"], method, domain)
        )
        assert all(card[f"{domain}_test"][figure] == cell[figure] for figure in FIGURES)
    lines = [json.loads(line) for line in path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[-1]["step"] == card["config"]["steps"]
    assert card["config"]["average"] == MINI.adaptation.average


def test_the_result_on_photographs_is_what_the_readme_says_and_nothing_that_was_tuned_on() -> None:
    found = json.loads((RESULTS / "unity_to_shanghaitech_b.json").read_text(encoding="utf-8"))
    assert found["development"]["seed"] not in found["seeds"] and len(found["seeds"]) >= 3
    true = np.array(found["images"]["count"])
    for method, by_seed in found["images"]["predicted"].items():
        errors = [np.abs(np.array(by_seed[str(seed)]) - true).mean() for seed in found["seeds"]]
        assert errors == pytest.approx(values(found, method, "target", "mae"), abs=0.06)  # rounded to tenths
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for words, method in (("method's MAE is", "se+fd"), ("source-only training", "noadapt-early")):
        mae = found["summary"][f"{method} / target"]["mae"]
        assert f"{words} {mae['mean']:.1f} ± {mae['sd']:.1f}" in text
    worst = np.array(list(found["images"]["predicted"]["noadapt-early"].values())).mean(axis=0)[true == 48].max()
    assert worst == pytest.approx(800, abs=50) and round(true.mean()) == 131
