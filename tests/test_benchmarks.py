"""The benchmarks compare what is comparable, find what they measure, and the table says what was measured."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from pathlib import Path

import bench_density
import bench_drawing
import bench_inference
import bench_step
import ipywidgets
import numpy as np
import pytest
import run
from rounds import in_turn, spread

from sdcda_tutorial.density import density_map
from sdcda_tutorial.teaching import demos

ROOT = Path(__file__).parents[1]


def test_the_published_script_draws_the_same_map() -> None:
    """Far from the border, where ours also scales up what is cut."""
    points = np.array([[40.0, 30.0], [42.0, 33.0], [80.0, 60.0]])
    theirs, ours = bench_density.published(points, (96, 128)), density_map(points, (96, 128)).numpy()
    assert theirs == pytest.approx(ours, abs=1e-6) and theirs.sum() == pytest.approx(3, abs=1e-4)


def test_the_operations_of_a_step_are_those_of_its_images() -> None:
    one, two = (bench_step.flops(bench_step.step_of(False, False, batch=batch)) for batch in (1, 2))
    assert two == pytest.approx(2 * one, rel=1e-3) and one > 1e9


def test_works_are_timed_in_turn_and_the_first_time_is_left_out() -> None:
    done: list[str] = []
    found = in_turn({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, repeats=2)
    assert done == ["a", "b"] * 3 and found.keys() == {"a", "b"} and all(0 <= value < 1 for value in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("module", [bench_density, bench_drawing, bench_inference, bench_step])
def test_a_benchmark_gives_ratios(module: object) -> None:
    found = module.measure(quick=True)
    assert found and all(np.isfinite(value) and value > 0 for value in found.values())


def test_every_file_with_a_measure_is_run() -> None:
    found = run.benchmarks()
    assert {"busy", "density", "drawing", "inference", "step", "widgets"} <= found.keys()
    assert found.keys() == {path.stem[6:] for path in (ROOT / "benchmarks").glob("bench_*.py")}


def test_rounds_take_turns_and_end_in_time() -> None:
    order: list[str] = []

    def measure(name: str, value: float) -> dict[str, float]:
        order.append(name)
        return {f"{name}'s ratio": value}

    values = iter((3.0, 1.0, 2.0, 5.0, 4.0))
    measures = {"a": lambda quick: measure("a", next(values)), "b": lambda quick: measure("b", 7.0)}
    found = run.rounds_of(measures, seconds=60)
    assert order == ["a", "b"] * run.ENOUGH
    assert spread(found["a"])["a's ratio"] == {"median": 3.0, "low": 1.0, "high": 5.0, "rounds": 5}
    order.clear()
    run.rounds_of({"b": measures["b"]}, seconds=0)
    assert order == ["b"], "one round, whatever the time"


def test_earlier_results_stay(tmp_path: Path) -> None:
    wanted, names = tmp_path / "bench.json", []
    for _ in range(3):
        path = run.free(wanted)
        path.write_text("{}")
        names.append(path.name)
    assert names == ["bench.json", "bench-2.json", "bench-3.json"]


def functions_of_demos() -> set[str]:
    """Names of the functions in teaching/demos that return a demo."""
    names = set()
    for found in pkgutil.iter_modules(demos.__path__):
        module = importlib.import_module(f"{demos.__name__}.{found.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__:
                names |= (
                    {name} if function.__annotations__.get("return") in ("ipywidgets.VBox", ipywidgets.VBox) else set()
                )
    return names


def test_no_demo_is_forgotten() -> None:
    stored = json.loads((ROOT / "data/results/bench.json").read_text(encoding="utf-8"))
    measured = {name.partition(":")[0] for name in stored["benchmarks"]["widgets"] if ": " in name}
    assert len(measured) > 10 and measured == functions_of_demos()


@pytest.mark.slow
def test_the_demos_of_a_notebook_are_found_and_answer() -> None:
    import bench_widgets

    ((name, box),) = bench_widgets.demos_of(ROOT / "notebooks/06_masked_target_loss.ipynb")
    assert name == "masked_loss"
    by_control, ratio = bench_widgets.measured(box, moves=1)
    assert by_control.keys() == {"ẑ, the prediction", "z", "loss"} and ratio > 0


def test_the_table_in_the_docs_is_that_of_the_stored_run() -> None:
    stored = json.loads((ROOT / "data/results/bench.json").read_text(encoding="utf-8"))
    assert run.table(stored) in (ROOT / "docs/speed.md").read_text(encoding="utf-8"), "python benchmarks/run.py --table"
    hardware = stored["provenance"]["hardware"]
    assert {"name", "instruction_set", "threads", "cores"} <= hardware.keys()
    assert {"python", "torch", "numpy", "sdcda-tutorial"} <= stored["provenance"]["versions"].keys()
