"""What several test files share: a mini world of a few images, and processes that may be killed."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sdcda_tutorial import masks
from sdcda_tutorial.datasets import CrowdDataset, open_dataset
from sdcda_tutorial.mini_world import MiniWorldSettings, ensure_mini_world

TINY_WORLD = MiniWorldSettings(source_train=8, source_test=2, target_train=6, target_test=2, third_train=6)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Markers stay true: name the tests without one that took long, so that `make check` stays short."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    slow = [
        f"{report.duration:5.1f} s  {report.nodeid}"
        for report in reports
        if getattr(report, "when", "") == "call" and report.duration > 5
        if not {"slow", "alone"} & set(report.keywords)
    ]
    if slow:
        terminalreporter.section("long and marked neither slow nor alone")
        terminalreporter.write_line("\n".join(sorted(slow, reverse=True)))


if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    # Under nohup: processes that tests start must hear a hang-up, and a handler, unlike this, is not inherited.
    signal.signal(signal.SIGHUP, lambda number, frame: None)


@pytest.fixture(autouse=True)
def _same_draws_each_time() -> None:
    """Networks start from torch's global generator: what fails for one start shall fail again."""
    import torch

    torch.manual_seed(0)


@pytest.fixture(scope="session")
def mini_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a mini world of 24 images, 192×256 as always."""
    return ensure_mini_world(tmp_path_factory.mktemp("mini") / "world", settings=TINY_WORLD, progress=False)


@pytest.fixture(scope="session")
def source(mini_world: Path) -> CrowdDataset:
    return open_dataset(f"mini-source:{mini_world}", "train", cache=True)


@pytest.fixture(scope="session")
def target(mini_world: Path) -> CrowdDataset:
    return open_dataset(f"mini-target:{mini_world}", "train", cache=True)


@pytest.fixture(scope="session")
def third(mini_world: Path) -> CrowdDataset:
    return open_dataset(f"mini-third:{mini_world}", "train", cache=True)


@pytest.fixture(scope="session")
def pseudo_masks(target: CrowdDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Masks of the target as a perfect mask model would give them."""
    folder = tmp_path_factory.mktemp("pseudo_masks")
    for sample in target:
        masks.write_png(masks.path_of(folder, sample.name), masks.from_points(sample.points, sample.size))
    return folder


@pytest.fixture
def start() -> Iterator[Callable[..., multiprocessing.process.BaseProcess]]:
    """`start(function, *args)` runs a function of a test module in a process of its own and gives the process."""
    import torch

    # A fork is ready at once, where a new Python would import torch for seconds; but what CUDA has started in this
    # process does not survive a fork.
    ways = multiprocessing.get_all_start_methods()
    way = next(
        w for w in ("fork", "forkserver", "spawn") if w in ways and not (w == "fork" and torch.cuda.is_available())
    )
    context = multiprocessing.get_context(way)
    running = []

    def run(function: Callable[..., None], *args: Any) -> multiprocessing.process.BaseProcess:
        process = context.Process(target=_on_one_thread, args=(function, *args))  # type: ignore[attr-defined]
        process.start()
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.join()


def _on_one_thread(function: Callable[..., None], *args: Any) -> None:
    """A fork has none of its parent's worker threads, and a computation that waits for them waits for ever."""
    import torch

    torch.set_num_threads(1)
    function(*args)
