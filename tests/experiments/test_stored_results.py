"""What the texts say of the stored results is what the stored results say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdcda_tutorial.experiments.benchmark_rows import GROUPS
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.experiments.statistics import differences, errors, methods_of
from sdcda_tutorial.rivals.translation import TRANSLATIONS, load_generators
from sdcda_tutorial.teaching.photograph_figures import better_baseline
from sdcda_tutorial.training.checkpoints import load, load_counter, load_segmenter

ROOT = Path(__file__).parents[2]
RESULTS, CHECKPOINTS = ROOT / "data/results", ROOT / "data/checkpoints"
FIGURES = ("mae", "mse", "psnr", "ssim", "background", "crowd")


def stored(name: str) -> dict[str, Any]:
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def mini_world() -> dict[str, Any]:
    return stored("mini_world")


def values(found: dict[str, Any], method: str, domain: str, figure: str) -> list[float]:
    cells = [cell for cell in found["cells"] if (cell["method"], cell["domain"]) == (method, domain)]
    if figure == "percent":
        return [100 * cell["mae"] / cell["mean_count"] for cell in cells]
    return [cell[figure] for cell in cells]


@pytest.mark.parametrize(("name", "methods"), [("mini_world", 7), ("table_1", 8), ("controls", 21)])
def test_the_summary_is_that_of_the_cells(name: str, methods: int) -> None:
    found = stored(name)
    assert len(found["seeds"]) == 5
    assert len(found["cells"]) == 2 * methods * len(found["seeds"])
    for key, summary in found["summary"].items():
        method, domain = key.split(" / ")
        for figure in FIGURES:
            of_seeds = values(found, method, domain, figure)
            assert len(of_seeds) == len(found["seeds"])
            assert summary[figure]["mean"] == pytest.approx(np.mean(of_seeds), abs=1e-3)
            assert summary[figure]["sd"] == pytest.approx(np.std(of_seeds, ddof=1), abs=1e-3)


def test_results_say_how_they_were_made(mini_world: dict[str, Any]) -> None:
    tuned_on = {run["seed"] for stage in stored("mini_world_development")["stages"] for run in stage["runs"]}
    tuned_on |= {stored("translation_development")["seed"]}
    for name in ("mini_world", "mini_world_first_confirmation", "table_1", "controls"):
        found = stored(name)
        assert found["command"].startswith("sdcda ") and ",".join(map(str, found["seeds"])) in found["command"]
        made = found["provenance"]
        assert made["date"] and made["versions"]["torch"] and made["hardware"]["cores"]
        assert not tuned_on & set(found["seeds"])  # nothing that is reported was tuned on


@pytest.mark.slow
def test_table_1_was_found_again_from_its_images() -> None:
    found = stored("table_1")
    for method, one in differences(found, same_images=False).items():
        told = found["differences"][method]
        assert (told["against"], told["lower_on"]) == (one.against, one.lower_on)
        assert told["mae"] == pytest.approx(one.mae, abs=0.01)
        # Another version of NumPy may draw another bootstrap.
        assert [told["low"], told["high"]] == pytest.approx([one.low, one.high], abs=1.0)
    for method in GROUPS["table-1"]:
        mae = [float(of_seed.mean()) for of_seed in errors(found, method)]
        assert mae == pytest.approx(values(found, method, "target", "mae"), abs=0.01)  # counts are stored to two digits
    assert all(found["translation"][str(seed)].keys() == set(TRANSLATIONS) for seed in found["seeds"])


def test_a_method_that_was_run_twice_came_out_alike(mini_world: dict[str, Any]) -> None:
    """The same seeds, trained twice with changes to the code in between: nearer to each other than seeds are."""
    again = stored("table_1")
    for method in ("noadapt", "se+fd"):
        of_seed = dict(zip(mini_world["seeds"], values(mini_world, method, "target", "mae"), strict=True))
        first = np.array([of_seed[seed] for seed in again["seeds"]])
        second = np.array(values(again, method, "target", "mae"))
        assert np.abs(first - second).max() < np.std(list(of_seed.values()), ddof=1)


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


def test_the_docs_say_of_the_rivals_what_was_measured() -> None:
    found, text = stored("table_1"), (ROOT / "docs/results.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:without|on|with) [^|]+ \| (\d+) ± (\d+) \| (\d+) ± (\d+) \|$", text, flags=re.M)
    methods = ("noadapt", "cyclegan", "se-cyclegan", "se+fd")
    for method, (mean, sd, mean_sfcn, sd_sfcn) in zip(methods, rows, strict=True):
        for name, told in ((method, (mean, sd)), (f"sfcn-{method}", (mean_sfcn, sd_sfcn))):
            of_seeds = values(found, name, "target", "percent")
            assert told == (f"{np.mean(of_seeds):.0f}", f"{np.std(of_seeds, ddof=1):.0f}")
    assert "five seeds, mean ± standard deviation, from [`table_1.json`]" in " ".join(text.split())


@pytest.mark.parametrize("name", TRANSLATIONS)
def test_kept_translations_are_small_and_load(name: str) -> None:
    path = CHECKPOINTS / f"{name}-translation.safetensors"
    assert path.stat().st_size < 2e6
    _, card = load_generators(path)
    assert (card["method"], card["seed"]) == (f"{name}-translation", stored("table_1")["seeds"][0])
    assert (card["config"]["weights"]["structure"] > 0) == (name == "se-cyclegan")
    lines = [json.loads(line) for line in path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[-1]["step"] == card["config"]["steps"] == MINI.translation.steps


@pytest.mark.parametrize("method", [*GROUPS["ablation"], "segmenter", *TRANSLATIONS])
def test_kept_models_are_small_load_and_tell_where_they_are_from(method: str, mini_world: dict[str, Any]) -> None:
    path = CHECKPOINTS / f"{method}.safetensors"
    assert path.stat().st_size < 1.5e6
    found = stored("table_1") if method in TRANSLATIONS else mini_world
    _, card = load(path)
    assert (card["method"], card["seed"]) == (method, found["seeds"][0])
    if method == "segmenter":
        load_segmenter(path)
        return
    load_counter(path)
    for domain in ("source", "target"):
        (cell,) = (c for c in found["cells"] if (c["seed"], c["method"], c["domain"]) == (card["seed"], method, domain))
        assert all(card[f"{domain}_test"][figure] == cell[figure] for figure in FIGURES)
    lines = [json.loads(line) for line in path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[-1]["step"] == card["config"]["steps"]
    assert card["config"]["average"] == MINI.adaptation.average


@pytest.mark.parametrize("part", "ab")
def test_the_results_on_photographs_are_what_the_texts_say_and_nothing_that_was_tuned_on(part: str) -> None:
    found, development = stored(f"unity_to_shanghaitech_{part}"), stored("unity_to_shanghaitech_development")
    assert development["seed"] not in found["seeds"] and len(found["seeds"]) >= 4
    for method in methods_of(found):
        maes = [of_seed.mean() for of_seed in errors(found, method)]
        assert maes == pytest.approx(values(found, method, "target", "mae"), abs=0.01)
    for method, one in differences(found, same_images=True).items():
        assert found["differences"][method]["mae"] == pytest.approx(one.mae, abs=0.01)
    told = [found["summary"][f"{method} / target"]["mae"] for method in (better_baseline(found), "se+fd")]
    for name in ("README.md", "docs/results.md"):
        text = " ".join((ROOT / name).read_text(encoding="utf-8").split())
        assert all(f"{mae['mean']:.1f} ± {mae['sd']:.1f}" in text for mae in told)
    places = found["error_places"]
    for method, one in places["methods"].items():
        people = found["summary"][f"{method} / target"]
        assert sum(one["true"]) == pytest.approx(found["cells"][0]["mean_count"], abs=0.1)
        error = people["background"]["mean"] + people["crowd"]["mean"]
        assert sum(one["mean"]) - sum(one["true"]) == pytest.approx(error, abs=0.5)
