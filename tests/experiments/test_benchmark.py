"""`sdcda benchmark` and `sdcda demo`: on the mini world, and on data of one's own in the layout of ShanghaiTech."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import files, ran, refused, run, small_home
from native_files import write_crowdhuman, write_shanghaitech
from PIL import Image

from sdcda_tutorial.datasets import open_dataset
from sdcda_tutorial.datasets.batches import DensityKernel
from sdcda_tutorial.evaluation.results import Results
from sdcda_tutorial.experiments import demo
from sdcda_tutorial.experiments.benchmark import Benchmark, evaluate_once
from sdcda_tutorial.experiments.cell_records import read_cells
from sdcda_tutorial.experiments.measurements import collect_measurements
from sdcda_tutorial.experiments.pipeline import Experiment
from sdcda_tutorial.experiments.presets import PRESETS
from sdcda_tutorial.files import write_json
from sdcda_tutorial.places import model
from sdcda_tutorial.training.checkpoints import load_counter, read_card, weights_digest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to work in."""
    with small_home(tmp_path_factory.mktemp("home")) as folder:
        yield folder


# --- the mini world ---------------------------------------------------------------------------------------------------
def test_benchmark_prints_the_spread_and_does_nothing_twice(tmp_path: Path) -> None:
    asked = ("benchmark", "--seeds", "3, 4", "--methods", "noadapt-early, se", "--out", tmp_path)
    printed = ran(*asked)
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["seeds"] == [3, 4]
    maes = [cell["mae"] for cell in stored["cells"] if (cell["method"], cell["domain"]) == ("se", "target")]
    mean, sd = stored["summary"]["se / target"]["mae"].values()
    assert (mean, sd) == pytest.approx((np.mean(maes), np.std(maes, ddof=1)), abs=1e-3)
    assert re.search(rf"^\| SE +\| +{mean:.1f} ± {sd:.1f} \|", printed, flags=re.M)
    assert "seed 3: NoAdapt (early)" in printed and "over seeds 3, 4" in printed
    models = {path: stamp for path, stamp in files(tmp_path).items() if path.endswith(".safetensors")}
    assert len(models) == 12  # segmenter, warm start and SE, last and chosen, on two seeds
    assert ran(*asked) == printed
    assert models.items() <= files(tmp_path).items()


def test_the_results_of_a_benchmark_say_when_their_own_seeds_were_trained(tmp_path: Path) -> None:
    path = tmp_path / "results.json"

    def provenance(seeds: str) -> Any:
        ran("benchmark", "--seeds", seeds, "--methods", "noadapt-early", "--out", tmp_path)
        found = json.loads(path.read_text())
        assert ",".join(str(seed) for seed in found["seeds"]) == seeds
        return found["provenance"]

    def on_another_machine(seed: int, date: str) -> dict[str, Any]:
        """As if that seed had been measured there."""
        cells = read_cells(tmp_path / "cells.jsonl")
        (cell,) = (cell for cell in cells if cell["seed"] == seed)
        cell["provenance"] = {**cell["provenance"], "date": date, "hardware": {"processor": "another"}}
        (tmp_path / "cells.jsonl").write_text("".join(json.dumps(cell) + "\n" for cell in cells))
        return dict(cell["provenance"])

    now = provenance("3")
    then = on_another_machine(3, "2020-01-01")
    path.write_text(json.dumps({**json.loads(path.read_text()), "provenance": {"date": "of the last call"}}))
    assert provenance("3") == then  # nothing is new
    assert provenance("3,4") == {**now, "others": [then]}
    assert provenance("4") == now and provenance("3") == then
    shutil.rmtree(tmp_path / "seed_3")
    (tmp_path / "cells.jsonl").unlink()
    (tmp_path / "seed_3").mkdir()
    (tmp_path / "seed_3/mask_quality.json").write_text('{"heads_inside": 1.0}')  # of masks that are gone
    assert provenance("3") == now and json.loads(path.read_text())["mask_quality"] == {}
    cells = read_cells(tmp_path / "cells.jsonl")
    for cell in cells:
        del cell["provenance"]  # as an earlier version wrote it, with one for all cells of a call
    (tmp_path / "cells.jsonl").write_text("".join(json.dumps(cell) + "\n" for cell in cells))
    path.write_text(json.dumps({**json.loads(path.read_text()), "provenance": {**now, "date": "2021-01-01"}}))
    assert provenance("3") == {**now, "date": "2021-01-01"}


def test_only_the_runs_that_methods_need_have_their_seconds(tmp_path: Path) -> None:
    asked = ("benchmark", "--seeds", 1, "--out", tmp_path, "--methods")
    ran(*asked, "noadapt,noadapt-early")
    (tmp_path / "seed_1/old/model.safetensors").mkdir(parents=True)
    (tmp_path / "seed_1/older").mkdir()
    (tmp_path / "seed_1/older/model.safetensors").write_bytes(b"\xff" * 20)  # neither belongs to any of them
    for methods, runs in (("noadapt", ["noadapt", "warm_start"]), ("noadapt-early", ["warm_start"])):
        ran(*asked, methods)
        assert sorted(json.loads((tmp_path / "results.json").read_text())["seconds"]["1"]) == runs


def test_figures_that_somebody_changed_are_no_measurements(tmp_path: Path) -> None:
    asked = ("benchmark", "--seeds", 1, "--out", tmp_path, "--methods", "noadapt")
    table = ran(*asked)
    for name in ("target.json", "alignment.json"):
        file = tmp_path / "seed_1/noadapt" / name
        before, found = file.read_text(), json.loads(file.read_text())
        if "rows" in found:
            found["rows"] = [{**row, "predicted": row["count"]} for row in found["rows"]]
        else:
            found["mmd"] = 0.0
        file.write_text(json.dumps(found))
        assert f"{file} was changed since it was measured; move it away" in run(*asked).complaint
        file.write_text(before)
        assert ran(*asked) == table
    file.write_text("{}")
    (tmp_path / "seed_1/noadapt/target.json").write_text('{"totals": {}}')
    assert "target.json is damaged; move it away: it is measured again" in run(*asked).complaint


def test_models_of_two_seeds_are_not_kept_in_one_folder(tmp_path: Path) -> None:
    asked = (
        "benchmark",
        "--methods",
        "noadapt-early",
        "--out",
        tmp_path / "out",
        "--keep",
        tmp_path / "kept",
        "--seeds",
    )
    ran(*asked, 1)
    ran(*asked, "1,2")
    assert f"{tmp_path / 'kept'} holds models of seed 1, which would be mixed" in run(*asked, 2).complaint


def test_models_of_two_data_sets_are_not_kept_in_one_folder(tmp_path: Path) -> None:
    def asked(world: Path, methods: str) -> tuple[object, ...]:
        domains = ("--source", f"mini-source:{world}", "--target", f"mini-target:{world}")
        return "benchmark", *domains, "--seeds", 1, "--methods", methods, "--out", tmp_path / world.name

    ours, other = tmp_path / "ours", tmp_path / "other"
    for seed, world in enumerate((ours, other)):
        ran("data", "mini", "--root", world, "--seed", seed)
    kept = tmp_path / "kept"
    ran(*asked(ours, "noadapt-early"), "--keep", kept)
    before = files(kept)
    complaint = refused(*asked(other, "noadapt"), "--keep", kept)
    assert f"{kept} holds models of other data, which would be mixed; name another place" in complaint
    assert files(kept) == before
    ran(*asked(ours, "noadapt-early"), "--keep", kept)  # of the same data


def test_models_of_two_presets_are_not_kept_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "kept"
    asked = ("benchmark", "--seeds", 1, "--keep", kept, "--out")
    ran(*asked, tmp_path / "first", "--methods", "noadapt-early")
    warm_start = PRESETS["mini"].warm_start
    assert warm_start is not None
    faster = replace(warm_start, learning_rate=2 * warm_start.learning_rate)
    monkeypatch.setitem(PRESETS, "mini", replace(PRESETS["mini"], warm_start=faster))
    complaint = refused(*asked, tmp_path / "second", "--methods", "noadapt")
    assert f"{kept}/noadapt-early.safetensors was trained with other settings (learning_rate = " in complaint


def test_models_of_a_users_own_are_not_replaced_by_those_that_are_kept(tmp_path: Path) -> None:
    asked = ("benchmark", "--seeds", "3", "--methods", "noadapt-early", "--out", tmp_path / "out", "--keep")
    kept = tmp_path / "kept/noadapt-early.safetensors"
    ran(*asked, kept.parent)
    ran(*asked, kept.parent)
    shutil.copy(tmp_path / "out/seed_3/warm_start/model.safetensors", kept)
    before = kept.read_bytes()
    assert f"{kept} is none that a benchmark has kept; move it away" in refused(*asked, kept.parent)
    assert kept.read_bytes() == before


def test_the_default_seeds_of_the_benchmark_are_those_of_the_stored_table(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []

    def run_benchmark(_: Benchmark, seeds: list[int], **__: Any) -> dict[str, Any]:
        asked.append(seeds)
        return {"summary": {}, "seeds": seeds, "differences": {}}

    monkeypatch.setattr(Benchmark, "run", run_benchmark)
    monkeypatch.setattr(Benchmark, "save_pictures", lambda *_: None)
    ran("benchmark")
    stored = json.loads((Path(__file__).parents[2] / "data/results/mini_world.json").read_text())
    assert asked == [stored["seeds"]]


def test_demo_shows_both_methods_and_reuses_what_it_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "FIRST", 3)
    done = run("demo", "--out", tmp_path)
    assert done.code == 0, done.err
    table = (tmp_path / "table.md").read_text()
    assert table in done.out and re.findall(r"^\| (\S+) +\| +\d", table, flags=re.M) == ["NoAdapt", "SE+FD"]
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["totals"]["SE+FD"] == Results.from_json(tmp_path / "se+fd/target.json").totals()
    assert list(stored["totals"]) == ["NoAdapt", "SE+FD"]
    assert stored["provenance"]["seed"] == 0 and stored["provenance"]["versions"]["torch"]
    with Image.open(tmp_path / "panel.png") as panel:
        assert "SE+FD predicts" in panel.info["Description"] and "stored" not in panel.info["Description"]
    kept = {path: stamp for path, stamp in files(tmp_path).items() if "seg" in path or path.endswith(".safetensors")}
    world = files("data")
    again = run("demo", "--out", tmp_path)
    assert again.out == done.out.replace(done.out[: done.out.index("\nStored counters", 1)], "", 1)  # without the first
    assert "left in all" not in again.err and "step/s" not in again.err
    assert kept.items() <= files(tmp_path).items() and files("data") == world


def test_demo_shows_stored_counters_first_and_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "FIRST", 3)
    said: list[str] = []
    trained = Benchmark.run_seed

    def run_seed(*arguments: Any) -> Any:
        said.append("TRAINING")
        assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["stored"]
        return trained(*arguments)

    monkeypatch.setattr(Benchmark, "run_seed", run_seed)
    demo.run_demo(0, tmp_path, said.append)
    first, _, whole, *_ = before = said[: said.index("TRAINING")]
    for text, images in ((first, "the first 3 test images"), (whole, "the 5 test images")):
        assert f"Stored counters, trained before (seed 21), on {images}" in text
        rows = re.findall(r"^\| (.+?) +\| +\d", text, flags=re.M)
        assert rows == ["NoAdapt (stored)", "SE+FD (stored)"]
    assert "\n3 images" in first and "\n5 images" in whole
    assert whole.strip() == (tmp_path / "stored/table.md").read_text().strip()
    with Image.open(tmp_path / "stored/panel.png") as panel:
        assert "SE+FD (stored) predicts" in panel.info["Description"]
    found = Results.from_json(tmp_path / "stored/se+fd.json")
    assert found.about["origin"] == "stored, trained before (seed 21)"
    assert found.about["weights_sha256"] == weights_digest(model("se+fd"))

    after = [text.replace(str(tmp_path), "OUT") for text in said[len(before) + 1 :]]
    assert "stored" not in "".join(after).lower() and [text.count("Trained now (seed 0)") for text in after] == [1, 1]
    titles = [re.findall(r"^\| (\S+) +\| +\d", text, flags=re.M) for text in after]
    assert titles == [["NoAdapt"], ["NoAdapt", "SE+FD"]]
    assert "stored" not in (tmp_path / "results.json").read_text() + (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(
    "name", ["table.md", "results.json", "panel.png", "stored/table.md", "stored/panel.png", "stored/se+fd.json"]
)
def test_demo_replaces_no_file_of_another(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    assert f"{tmp_path / name} " in refused("demo", "--out", tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_demo_and_benchmark_keep_out_of_each_others_folders(home: Path, own: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "demo/results.json", {"provenance": {"seed": 0}, "totals": {}})
    write_json(tmp_path / "benchmark/results.json", {"provenance": {}, "seeds": [1]})
    said = refused(*asked(own, tmp_path / "demo", "--seeds", 1, "--methods", "noadapt"))
    assert f"{tmp_path / 'demo/results.json'} holds something else" in said
    assert "holds something else" in refused("demo", "--out", tmp_path / "benchmark")
    assert "holds a demo of another seed; choose another --out" in refused(
        "demo", "--seed", 1, "--out", tmp_path / "demo"
    )


def test_the_first_table_of_a_demo_does_not_wait_for_the_whole_world(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def say(text: str) -> None:
        if "Stored counters" in text:
            raise Enough

    with pytest.raises(Enough):
        demo.run_demo(7, tmp_path, say)
    assert not (tmp_path / "world").exists()


def test_demo_counts_anew_where_the_stored_figures_are_of_other_images(tmp_path: Path) -> None:
    for seed in (5, 6):
        out = tmp_path / str(seed)
        ran("demo", "--seed", seed, "--out", out)
    of = [tmp_path / f"{seed}/stored/noadapt.json" for seed in (5, 6)]
    right = of[1].read_text()
    assert of[0].read_text() != right
    shutil.copy(of[0], of[1])
    ran("demo", "--seed", 6, "--out", tmp_path / "6")
    assert of[1].read_text() == right


# --- data of one's own ------------------------------------------------------------------------------------------------
XY = np.array([[3.5, 30.25], [50.0, 2.0], [20.0, 60.0], [99.0, 11.0]])
SIZE = (96, 120)


@pytest.fixture(scope="module")
def own(home: Path) -> Path:
    """A free source with points only, and a target with two parts: what data/README.md proposes, very small."""
    for number in range(1, 7):
        write_shanghaitech(home / "own/UNITY", number, XY + number, size=SIZE)
    for number in range(1, 4):
        write_shanghaitech(home / "own/SHB/part_B", number, XY[:3], size=SIZE)
    for number, heads in [(1, 1), (2, 3)]:
        write_shanghaitech(home / "own/SHB/part_B", number, XY[:heads], size=SIZE, split="test")
    return home / "own"


def asked(own: Path, out: Path, *more: object) -> tuple[object, ...]:
    return (
        "benchmark", "--preset", "photos", "--source", f"shanghaitech:{own}/UNITY",
        "--target", f"shanghaitech-b:{own}/SHB", "--size", 96, "--out", out, *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(own: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[object, ...], str]:
    """Two methods on two seeds: the folder, the command, and what it printed."""
    out = tmp_path_factory.mktemp("benchmark") / "out"
    command = asked(own, out, "--seeds", "1,2", "--methods", "noadapt-early,se+fd")  # the masks need no --boxes
    return out, command, ran(*command, "--keep", out / "kept")


def test_own_data_is_trained_on_and_measured(own: Path, done: tuple[Path, tuple[object, ...], str]) -> None:
    out, _, printed = done
    stored = json.loads((out / "results.json").read_text())
    cells = [(cell["seed"], cell["method"], cell["domain"]) for cell in stored["cells"]]
    assert cells == [(seed, method, "target") for seed in (1, 2) for method in ("noadapt-early", "se+fd")]
    assert all((cell["images"], cell["mean_count"]) == (2, 2) for cell in stored["cells"])  # of 1 and 3 heads
    assert re.search(r"^\| SE\+FD +\| +[\d.]+ ± [\d.]+ \|", printed, flags=re.M) and "over seeds 1, 2" in printed
    data = stored["data"]
    assert {name: (one["format"], one["images"], one["max_side"]) for name, one in data.items()} == {
        "source": ("ShanghaiTech", 6, 96),
        "target": ("ShanghaiTech", 3, 96),
        "boxes": ("CrowdHuman", 4, None),  # the mini world's own, as it is
        "target_test": ("ShanghaiTech", 2, 96),
    }
    assert str(own) not in (out / "results.json").read_text()  # no path of a machine
    assert stored["mask_quality"].keys() == {"1", "2"} and stored["provenance"]["versions"]["torch"]
    assert not list(out.glob("seed_*/world"))  # no mini world is drawn for data of one's own
    for seed in (1, 2):
        config = json.loads((out / f"seed_{seed}/se+fd/config.json").read_text())
        assert (config["seed"], config["source_data"]) == (seed, data["source"])
        found = Results.from_json(out / f"seed_{seed}/se+fd/target.json")
        assert [row.name for row in found.rows] == ["IMG_1", "IMG_2"] and [row.count for row in found.rows] == [1, 3]


def test_each_cell_tells_how_it_was_made(done: tuple[Path, tuple[object, ...], str]) -> None:
    out, _, _ = done
    cells = read_cells(out / "cells.jsonl")
    assert [(cell["seed"], cell["method"]) for cell in cells] == [
        (seed, method) for seed in (1, 2) for method in ("noadapt-early", "se+fd")
    ]
    for cell in cells:
        folder = out / f"seed_{cell['seed']}"
        rests_on = {"warm_start"} if cell["method"] == "noadapt-early" else {"warm_start", "segmenter", "se+fd"}
        assert cell["made_from"].keys() == rests_on
        for name, card in cell["made_from"].items():
            config = json.loads((folder / name / "config.json").read_text())
            assert card["config"] == config and card["config"]["seed"] == cell["seed"]
            assert card["weights_sha256"] == weights_digest(folder / name / "model.safetensors")
            assert card["versions"]["torch"] and card["date"] and card["hardware"]["device"]
        name = "warm_start" if cell["method"] == "noadapt-early" else cell["method"]
        assert cell["figures"]["target"] == Results.from_json(folder / name / "target.json").totals()
    assert "/" + out.parts[1] + "/" not in (out / "cells.jsonl").read_text()  # no path of a machine


def test_a_damaged_list_of_cells_is_named(done: tuple[Path, tuple[object, ...], str], tmp_path: Path) -> None:
    shutil.copytree(done[0], tmp_path / "out")
    (tmp_path / "out/cells.jsonl").write_text('{"seed": 1, "method": "se"}\n{"seed"')
    command = [tmp_path / "out" if part == done[0] else part for part in done[1]]
    results = (tmp_path / "out/results.json").stat().st_mtime_ns
    assert "cells.jsonl is damaged in line 2; move it away" in run(*command).complaint
    for content in (
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"seed": 1' + b"0" * 5000,
        b'{"seed": 1, "method": "se", "seed": 2}',
        b'{"seed": 1, "method": "se", "figures": null}',
        b'{"seed": 1, "method": "se", "figures": [1]}',
        b'{"seed": 1, "method": "se", "figures": {"target": 5}}',
    ):
        (tmp_path / "out/cells.jsonl").write_bytes(content)
        assert "cells.jsonl is damaged in line 1" in run(*command).complaint
    (tmp_path / "out/cells.jsonl").write_bytes(2 * b'{"seed": 1, "method": "se"}\n')
    assert "cells.jsonl has se on seed 1 again in line 2; keep one" in run(*command).complaint
    assert (tmp_path / "out/results.json").stat().st_mtime_ns == results  # told before anything was done
    (tmp_path / "out/cells.jsonl").unlink()
    ran(*command)
    assert len(read_cells(tmp_path / "out/cells.jsonl")) == 4


@pytest.mark.parametrize("damage", [{"data": None}, {"data": [1]}, {"provenance": None}, {"provenance": 5}])
def test_damaged_results_are_named(
    damage: dict[str, Any], done: tuple[Path, tuple[object, ...], str], tmp_path: Path
) -> None:
    shutil.copytree(done[0], tmp_path / "out")
    stored = json.loads((done[0] / "results.json").read_text())
    write_json(tmp_path / "out/results.json", stored | damage)
    command = [tmp_path / "out" if part == done[0] else part for part in done[1]]
    assert "results.json is damaged; move it away" in run(*command).complaint


def test_a_label_that_no_training_needs_stops_nothing(own: Path, tmp_path: Path) -> None:
    target = shutil.copytree(own / "SHB", tmp_path / "SHB")
    next(target.glob("part_B/train_data/ground*/GT_IMG_2.mat")).write_bytes(b"damaged")
    more = ("--target", f"shanghaitech-b:{target}", "--seeds", 1, "--methods", "se")
    printed = ran(*asked(own, tmp_path / "out", *more))
    assert "how good the pseudo-masks are is not measured" in printed and "GT_IMG_2.mat" in printed
    assert json.loads((tmp_path / "out/results.json").read_text())["mask_quality"] == {}


def test_results_hold_nothing_of_other_data(own: Path, tmp_path: Path) -> None:
    ran(*asked(own, tmp_path / "out", "--seeds", 1, "--methods", "se"))
    other = shutil.copytree(own / "SHB", tmp_path / "SHB")
    for number in (1, 2):
        write_shanghaitech(other / "part_B", number, XY[2:], size=SIZE)
    more = ("--target", f"shanghaitech-b:{other}", "--seeds", 1, "--methods", "noadapt")
    ran(*asked(own, tmp_path / "out", *more))
    assert json.loads((tmp_path / "out/results.json").read_text())["mask_quality"] == {}


def test_measurements_are_those_of_the_methods_asked_for(tmp_path: Path) -> None:
    seed = tmp_path / "seed_1"
    for name in ("se/alignment", "fd/alignment", "cyclegan-translation/quality", "mask_quality"):
        (seed / name).parent.mkdir(parents=True, exist_ok=True)
        write_json(seed / f"{name}.json", {"figure": 1, "data": {}})
    both, target = {"source": None, "target": None}, {"target": None}

    def found(*methods: str, tests: dict[str, None] = both, masked: bool = False) -> dict[str, Any]:
        measured = collect_measurements(tmp_path, {1: dict.fromkeys(methods, tests)}, [], masked)
        return {name: sorted(of.get("1", ())) for name, of in measured.items() if name != "seconds"}

    nothing: dict[str, list[str]] = {"mask_quality": [], "alignment": [], "translation": []}
    assert found("noadapt") == nothing
    assert found("se", masked=True) == nothing | {"mask_quality": ["figure"], "alignment": ["se"]}
    assert found("fd", "cyclegan") == nothing | {"alignment": ["fd"], "translation": ["cyclegan"]}
    assert found("se", "cyclegan", tests=target) == nothing  # these compare with the source


def test_pictures_of_all_methods_are_drawn(done: tuple[Path, tuple[object, ...], str]) -> None:
    for name in ("mae", "crowd_size", "background_and_crowd", "panel"):
        with Image.open(done[0] / f"{name}.png") as picture:
            assert picture.info["Description"]
    with Image.open(done[0] / "panel.png") as panel:
        assert "NoAdapt (early) predicts" in panel.info["Description"] and "SE+FD predicts" in panel.info["Description"]


def test_seeds_side_by_side_are_the_seeds_one_after_the_other(
    own: Path, done: tuple[Path, tuple[object, ...], str], tmp_path: Path
) -> None:
    """Two processes, each with a seed of its own; with other numbers of threads the last digits differ."""
    more = ("--boxes", "mini-third:data/mini", "--seeds", "1,2", "--methods", "noadapt-early,se+fd", "--at-once", 2)
    printed = ran(*asked(own, tmp_path / "out", *more))
    assert re.findall(r"^\| (\S.*?) +\|", printed, flags=re.M) == re.findall(r"^\| (\S.*?) +\|", done[2], flags=re.M)
    found, expected = (json.loads((folder / "results.json").read_text()) for folder in (tmp_path / "out", done[0]))
    assert found["provenance"]["hardware"]["trainings_at_once"] == 2
    assert found["data"] == expected["data"] and found["seeds"] == expected["seeds"]
    for one, other in zip(found["cells"], expected["cells"], strict=True):
        assert one == {key: pytest.approx(v, rel=2e-2) if isinstance(v, float) else v for key, v in other.items()}
    for seed in (1, 2):
        for name in ("warm_start", "segmenter", "se+fd"):
            configs = [folder / f"seed_{seed}/{name}/config.json" for folder in (tmp_path / "out", done[0])]
            settings = [json.loads(path.read_text()) for path in configs]
            for one in settings:
                for digest in ("init", "pseudo_masks"):  # of what the threads have computed
                    one.pop(digest, None)
            assert settings[0] == settings[1]


def test_what_fails_in_another_process_is_one_line_here(own: Path, tmp_path: Path) -> None:
    shutil.copytree(own, tmp_path / "own")
    picture = tmp_path / "own/UNITY/train_data/images/IMG_2.jpg"
    picture.write_bytes(picture.read_bytes()[:300])
    seeds = "1,2,3,4,5,6"
    left = run(*asked(tmp_path / "own", tmp_path / "out", "--seeds", seeds, "--methods", "noadapt", "--at-once", 2))
    assert left.code == 2 and f"{picture} cannot be decoded" in left.complaint
    assert len(list((tmp_path / "out").glob("seed_*"))) <= 3  # those that wait do not begin any more


def test_a_seed_that_is_named_twice_is_one(own: Path, tmp_path: Path) -> None:
    ran(*asked(own, tmp_path / "out", "--seeds", "1,1", "--methods", "noadapt,noadapt", "--at-once", 2))
    stored = json.loads((tmp_path / "out/results.json").read_text())
    assert stored["seeds"] == [1] and [cell["method"] for cell in stored["cells"]] == ["noadapt"]


def test_a_number_of_seeds_at_once_is_positive() -> None:
    assert "--at-once is a number of seeds from 1 up" in refused("benchmark", "--at-once", 0)


def test_the_kept_models_know_their_data(done: tuple[Path, tuple[object, ...], str]) -> None:
    kept = done[0] / "kept"
    models = {path.stem: read_card(path) for path in kept.glob("*.safetensors")}
    assert models.keys() == {"segmenter", "noadapt-early", "se+fd"} == {path.stem for path in kept.glob("*.jsonl")}
    assert {card["data"] for card in models.values()} == {"shanghaitech to shanghaitech-b"}
    totals = Results.from_json(done[0] / "seed_1/se+fd/target.json").totals()
    assert models["se+fd"]["target_test"] == totals and "source_test" not in models["se+fd"]
    load_counter(kept / "se+fd.safetensors")


def test_what_is_done_stays_done(done: tuple[Path, tuple[object, ...], str]) -> None:
    out, command, printed = done
    before = {path: stamp for path, stamp in files(out).items() if "seed_" in path}
    assert before
    again = ran(*command)
    assert again == printed
    assert {path: files(out)[path] for path in before} == before
    left = run(*command, "--size", 80)
    assert left.code == 2 and "made with target: max_side = 96, not 80" in left.complaint
    assert {path: files(out)[path] for path in before} == before


def test_a_test_set_that_was_completed_is_measured_anew(
    own: Path, done: tuple[Path, tuple[object, ...], str], tmp_path: Path
) -> None:
    """The models are the same; an evaluation of two images must not stand for that of three."""
    shutil.copytree(done[0], tmp_path / "out")
    shutil.copytree(own, tmp_path / "own")
    write_shanghaitech(tmp_path / "own/SHB/part_B", 3, XY[:2], size=SIZE, split="test")
    more = ("--boxes", "mini", "--seeds", "1,2", "--methods", "noadapt-early,se+fd")
    before = {path: stamp for path, stamp in files(tmp_path / "out").items() if path.endswith(".safetensors")}
    ran(*asked(tmp_path / "own", tmp_path / "out", *more))
    stored = json.loads((tmp_path / "out/results.json").read_text())
    assert all((cell["images"], cell["mean_count"]) == (3, 2) for cell in stored["cells"])
    assert {path: files(tmp_path / "out")[path] for path in before} == before


def test_the_targets_heads_are_not_needed_to_train(own: Path, tmp_path: Path) -> None:
    shutil.copytree(own, tmp_path / "own")
    for mat in (tmp_path / "own/SHB/part_B/train_data/ground_truth").iterdir():
        mat.write_bytes(b"no annotation")
    printed = ran(*asked(tmp_path / "own", tmp_path / "out", "--seeds", 1, "--methods", "noadapt,fd"))
    assert "seed 1: FD" in printed and not (tmp_path / "out/seed_1/segmenter").exists()


def test_nothing_to_keep_of_a_mask_model_that_nobody_needed(own: Path, tmp_path: Path) -> None:
    ran(*asked(own, tmp_path / "out", "--seeds", 1, "--methods", "noadapt", "--keep", tmp_path / "kept"))
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"noadapt.safetensors", "noadapt.jsonl"}


def lose(own: Path, what: str) -> None:
    shutil.rmtree(own / what)


WRONG: dict[str, tuple[Callable[[Path], Any] | None, str, str]] = {
    # Before any training: only the second method needs the masks.
    "no boxes": (
        None, "--methods noadapt,se --preset paper --random-weights",
        "needs pseudo-masks of the target; name a data set with boxes",
    ),
    "no change": (None, "--methods se,se@lambda_t=0.010", "changes nothing: the preset photos has this value; name se"),
    "unknown preset": (None, "--preset nosuch", "unknown preset 'nosuch'; known are paper, mini, photos"),
    "no warm start": (None, "--preset paper --methods noadapt-early", "the preset paper has no warm start"),
    "source alone": (None, "--target mini", "give --source and --target, or neither"),
    "target alone": (None, "--source mini", "give --source and --target, or neither"),
    "nowhere": (None, "--source shanghaitech:nowhere", "nowhere is not a folder"),
    "no such data": (None, "--target nosuch:x", "unknown data set 'nosuch'"),
    "no such boxes": (None, "--boxes crowdhuman:nowhere", "nowhere is not a folder"),
    "bad size": (None, "--size 0", "--size is HEIGHTxWIDTH"),
    "source without heads": (None, "--source images:own/UNITY/train_data/images", "has no labels to learn from"),
    "target without heads": (
        None, "--methods noadapt --target images:own/UNITY/train_data/images", "has no labels to learn from"
    ),
    "no test part": (lambda own: lose(own, "SHB/part_B/test_data"), "--methods noadapt", "part_B/test_data"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_work_is_refused_first(own: Path, home: Path, wrong: str) -> None:
    harm, options, says = WRONG[wrong]
    folder = home / "copy"
    shutil.copytree(own, folder)
    try:
        if harm is not None:
            harm(folder)
        assert says in refused(*asked(folder, home / "new", "--seeds", 1), *options.split())
    finally:
        shutil.rmtree(folder)


def test_the_weights_of_a_pretrained_preset_come_from_the_file(own: Path, tmp_path: Path) -> None:
    wanted = ("--preset", "paper", "--methods", "noadapt", "--seeds", 1, "--weights", tmp_path / "vgg.pth")
    left = run(*asked(own, tmp_path / "out", *wanted))
    assert left.code == 2 and f"cannot read the VGG16-BN weights from {tmp_path / 'vgg.pth'}" in left.complaint


def test_options_for_own_data_are_refused_without_it() -> None:
    for options in ("--boxes mini", "--size 96"):
        assert "are for data of your own" in refused("benchmark", *options.split())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("results.json", "mine"),
        ("results.json", '{"mine": 1}'),
        ("mae.png", "mine"),
        ("panel.png", "mine"),
        ("kept/noadapt.jsonl", "mine"),
        ("kept/noadapt.safetensors", "mine"),
    ],
)
def test_a_file_of_ones_own_is_refused_before_any_training(name: str, text: str, own: Path, tmp_path: Path) -> None:
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text(text)
    command = asked(own, tmp_path, "--seeds", 1, "--methods", "noadapt", "--keep", tmp_path / "kept")
    assert str(mine) in refused(*command)
    assert mine.read_text() == text and not list(tmp_path.glob("seed_*"))


def test_a_picture_that_breaks_on_the_way_is_named_and_the_benchmark_goes_on(own: Path, tmp_path: Path) -> None:
    shutil.copytree(own, tmp_path / "own")
    picture = tmp_path / "own/SHB/part_B/test_data/images/IMG_2.jpg"
    whole = picture.read_bytes()
    picture.write_bytes(whole[: len(whole) // 2])  # the header, which is looked at before, is whole
    command = asked(tmp_path / "own", tmp_path / "out", "--seeds", 1, "--methods", "noadapt")
    left = run(*command)
    assert left.code == 2 and f"{picture} cannot be decoded" in left.complaint
    assert not list((tmp_path / "out").rglob("target.json")) and not (tmp_path / "out/results.json").exists()
    models = {path: stamp for path, stamp in files(tmp_path / "out").items() if path.endswith(".safetensors")}
    picture.write_bytes(whole)
    ran(*command)
    assert models and models.items() <= files(tmp_path / "out").items()


def test_models_of_ones_own_data_and_of_the_mini_world_are_not_kept_in_one_folder(tmp_path: Path) -> None:
    ran("data", "mini")
    kept, own = tmp_path / "kept", ("--source", "mini-source:data/mini", "--target", "mini-target:data/mini")
    asked = ("benchmark", "--seeds", 1, "--keep", kept)
    ran(*asked, *own, "--methods", "noadapt-early", "--out", tmp_path / "own")
    for methods in ("noadapt", "noadapt-early"):
        complaint = refused(*asked, "--methods", methods, "--out", tmp_path / "mini")
        assert f"{kept} holds models of other data, which would be mixed" in complaint


def test_figures_of_another_kernel_are_measured_anew(tmp_path: Path) -> None:
    ran("benchmark", "--seeds", 1, "--methods", "noadapt-early", "--out", tmp_path)
    path, checkpoint = tmp_path / "target.json", tmp_path / "seed_1/warm_start/model.safetensors"
    test = open_dataset(f"mini-target:{tmp_path / 'seed_1/world'}", "test")
    psnr = [
        evaluate_once(path, checkpoint, test, DensityKernel("fixed", sigma, 15), {}).totals()["psnr"]
        for sigma in (2.0, 1.0, 1.0)
    ]
    assert psnr[0] != psnr[1] == psnr[2]


def test_one_method_in_two_spellings_is_one(tmp_path: Path) -> None:
    complaint = refused("benchmark", "--methods", "se@lambda_t=0.1,se@lambda_t=0.10", "--out", tmp_path / "out")
    assert "'se@lambda_t=0.10' is 'se@lambda_t=0.1' again; name it once" in complaint


def test_an_experiment_takes_its_folder_as_a_text(tmp_path: Path) -> None:
    ran("data", "mini")
    source = open_dataset("mini-source:data/mini", "train")
    assert Experiment(str(tmp_path / "run"), PRESETS["mini"], source).folder == tmp_path / "run"  # type: ignore[arg-type]


def test_a_benchmark_names_the_part_that_stands_in_for_another(tmp_path: Path) -> None:
    """CrowdHuman publishes no labels of its test part."""
    ran("data", "mini")
    target = tmp_path / "target"
    box = {"tag": "person", "vbox": [20, 20, 9, 20], "hbox": [22, 20, 5, 5]}
    for split in ("train", "val"):
        write_crowdhuman(target, [{"ID": split, "gtboxes": [box]}], split=split, size=(96, 112))
    own = ("--source", "mini-source:data/mini", "--target", f"crowdhuman:{target}", "--out", tmp_path / "out")
    said = ran("benchmark", *own, "--seeds", 1, "--methods", "noadapt-early")
    assert f"note: the test part of crowdhuman:{target} has no labels; the val part stands in for it" in said
