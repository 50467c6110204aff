"""Two commands at once on one folder: the second is refused or waits, nothing is lost, an end leaves no trace.

The other process is a real one, forked; it holds a folder as a command does (`one_writer`), or is a command.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import appear, files, ran, refused, run, small_home
from native_files import write_crowdhuman

from sdcda_tutorial import losses
from sdcda_tutorial.cli import main
from sdcda_tutorial.datasets import open_dataset
from sdcda_tutorial.evaluation import comparison, model_card
from sdcda_tutorial.experiments.cell_records import read_cells, write_cells
from sdcda_tutorial.guards import locks
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.training.checkpoints import read_card, weights_digest

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform == "win32", reason="a fork and its signals are POSIX"),
]

BUSY = "another process is writing to {}; wait for it, or choose another --out"
MODEL = Path("runs/mini/noadapt/model.safetensors")


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with small_home(tmp_path_factory.mktemp("home")) as folder:
        ran("train", "--method", "noadapt")
        yield folder


def hold(folder: Path) -> None:
    with one_writer(folder):
        Path(f"{folder}-held").touch()
        appear(Path(f"{folder}-released"))


@pytest.fixture
def held(start: Callable[..., Any]) -> Callable[..., Any]:
    def begin(folder: Path | str) -> Any:
        process = start(hold, Path(folder))
        appear(Path(f"{folder}-held"))
        return process

    return begin


def train_and_stop(out: Path, at: str) -> None:
    """Train until the loss `at` is asked for, and wait there."""

    def stop(*_: Any, **__: Any) -> None:
        (out / "stopped").touch()
        time.sleep(600)

    setattr(losses, at, stop)
    sys.stdout = sys.stderr = open(out / "said", "w")  # noqa: SIM115
    main(["train", "--method", "fd", "--out", str(out), "--resume"])


# --- refused ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("command", "folder"),
    [
        ("train --method se --out {}", "se"),
        ("train --method se --out {} --resume", "se"),
        (f"evaluate --checkpoint {MODEL} --out {{}}", "."),
        ("benchmark --seeds 1 --methods noadapt --out {}", "."),
        ("demo --out {}", "."),
    ],
)
def test_what_another_command_writes_is_refused_before_anything_is_written(
    command: str, folder: str, tmp_path: Path, held: Callable[..., Any]
) -> None:
    held(tmp_path / "out" / folder)
    assert BUSY.format(tmp_path / "out" / folder) in refused(*command.format(tmp_path / "out").split())


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_run_in_training_is_refused_and_when_it_has_ended_it_goes_on(
    tmp_path: Path, start: Callable[..., Any], how: int
) -> None:
    process = start(train_and_stop, tmp_path, "adversarial_loss")
    appear(tmp_path / "stopped")
    assert (tmp_path / "fd/config.json").exists()
    for options in ([], ["--resume"]):
        assert BUSY.format(tmp_path / "fd") in refused("train", "--method", "fd", "--out", tmp_path, *options)
    os.kill(process.pid, how)
    process.join(30)
    if how == signal.SIGKILL:
        assert process.exitcode == -how
    else:
        assert process.exitcode == 128 + how
        *_, last = (tmp_path / "said").read_text().splitlines()
        assert last == "sdcda: interrupted; the same command with --resume goes on where it was"
        assert [path for path in tmp_path.rglob(".*")] == []
    ran("train", "--method", "fd", "--out", tmp_path, "--resume")
    assert [path for path in tmp_path.rglob(".*")] == []


# --- waited for -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("part", ["warm_start", "segmenter", "masks"])
def test_parts_that_methods_share_are_waited_for(
    part: str, tmp_path: Path, held: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = held(tmp_path / part)

    def say(*words: str, **options: Any) -> None:  # the holder ends when this process has said that it waits
        print(*words, **options)
        Path(f"{tmp_path / part}-released").touch()

    monkeypatch.setattr(locks, "print", say, raising=False)
    done = run("train", "--method", "se", "--out", tmp_path)
    assert done.code == 0, done.err
    assert f"another process is writing to {tmp_path / part}; waiting for it\n" in done.err
    assert process.exitcode == 0


def test_a_dry_run_needs_no_lock(tmp_path: Path, held: Callable[..., Any]) -> None:
    for part in ("warm_start", "noadapt"):
        held(tmp_path / part)
    before = files(tmp_path)
    ran("train", "--method", "noadapt", "--out", tmp_path, "--dry-run")
    assert files(tmp_path) == before


# --- nothing is lost --------------------------------------------------------------------------------------------------
def add_tests(model: Path, who: str, gate: Path) -> None:
    appear(gate)
    weights = weights_digest(model)
    for number in range(5):
        assert model_card.add_test(model, weights, {"data": f"{who}{number}", "split": "test", "variant": "x"}) is None


def add_cells(path: Path, seed: int, gate: Path, figures: Any) -> None:
    appear(gate)
    for number in range(5):
        write_cells(path, 10 * seed + number, {"noadapt": MODEL}, {"noadapt": {"target": figures}}, {"date": "today"})


def test_evaluations_at_once_all_end_up_on_the_card(tmp_path: Path, start: Callable[..., Any]) -> None:
    processes = [start(add_tests, MODEL, who, tmp_path / "gate") for who in "abcd"]
    (tmp_path / "gate").touch()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    expected = {f"{who}{number}" for who in "abcd" for number in range(5)}
    assert {test["data"] for test in read_card(MODEL)["tests"]} == expected
    assert list(MODEL.parent.glob(".*")) == []


def test_the_part_that_stands_in_for_another_is_named(tmp_path: Path) -> None:
    """CrowdHuman publishes no labels of its test part."""
    write_crowdhuman(tmp_path, [{"ID": "a", "gtboxes": []}], split="val", size=(64, 64))
    done = run("evaluate", "--checkpoint", MODEL, "--target", f"crowdhuman:{tmp_path}", "--out", tmp_path / "out")
    assert done.code == 0 and f"the test part of crowdhuman:{tmp_path} has no labels; the val part" in done.out
    assert read_card(MODEL)["tests"][-1]["split"] == "val"


def test_cells_of_several_processes_are_all_kept(tmp_path: Path, start: Callable[..., Any]) -> None:
    tested = open_dataset("mini-target", "test")
    (found,) = comparison.compare([MODEL], tested, tmp_path / "out", "standard", {"split": "test"}).values()
    path = tmp_path / "cells.jsonl"
    processes = [start(add_cells, path, seed, tmp_path / "gate", found) for seed in range(4)]
    (tmp_path / "gate").touch()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert [cell["seed"] for cell in read_cells(path)] == [10 * s + n for s in range(4) for n in range(5)]


def test_an_evaluation_of_a_run_in_training_counts_and_says_what_is_not_on_the_card(
    tmp_path: Path, held: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_card, "WAIT", 0.0)
    held(MODEL.parent)
    before = MODEL.read_bytes()
    done = run("evaluate", "--checkpoint", MODEL, "--out", tmp_path / "out")
    assert done.code == 0 and (tmp_path / "out/panel.png").exists()
    assert f"\nthese figures are not in the card: another process is writing to {MODEL.parent.resolve()}\n" in done.out
    assert MODEL.read_bytes() == before
