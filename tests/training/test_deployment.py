"""The exported program gives the counter's map at its size, without the package, and no map at any other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.networks import CrowdCounter, image_batch
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.rivals.sfcn import SFCN
from sdcda_tutorial.training.deployment import export_program
from sdcda_tutorial.training.hardware import Hardware

COUNTERS = {
    "paper": lambda: CrowdCounter(16, 1 / 32, label_factor=1.0),
    "authors": lambda: CrowdCounter(8, 1 / 32, "authors"),
    "sfcn": lambda: SFCN(1 / 32),
}


def seen_something(counter: CrowdCounter) -> CrowdCounter:
    """Batch norms with statistics, and a map that shows what the layers see."""
    nn.init.ones_(counter.C.head.weight)
    with torch.no_grad():
        for _ in range(3):
            counter.train()(torch.rand(2, 3, 64, 64))
    return counter.eval()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(32, 48), (37, 53), (5, 7), (1, 1)])
@pytest.mark.parametrize("name", COUNTERS)
def test_the_program_counts_as_the_counter_and_takes_one_size(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    counter, path = seen_something(COUNTERS[name]()), tmp_path / "counter.pt2"
    export_program(counter, path, size)
    program = torch.export.load(path).module()
    for seed in range(3):
        image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        wanted = predict_density(counter, image)
        found = program(image_batch(image[None]))[0, 0]
        assert found.shape == size and wanted.max() > 0
        assert torch.allclose(found, wanted, rtol=1e-5, atol=float(wanted.max()) * 1e-6)
    height, width = size
    for other in [(height + 1, width), (height, width + 16), (height + 16, width)]:
        with pytest.raises(Exception, match=r"(?s)shape|size|[Gg]uard"):
            program(torch.rand(1, 3, *other))
    with pytest.raises(Exception, match=r"(?s)shape|size|[Gg]uard"):
        program(torch.rand(2, 3, *size))


@pytest.mark.slow
def test_the_program_needs_no_package_of_ours(tmp_path: Path) -> None:
    counter = seen_something(COUNTERS["paper"]())
    export_program(counter, tmp_path / "counter.pt2", (32, 48))
    x = torch.rand(1, 3, 32, 48)
    torch.save((x, counter(x).detach()), tmp_path / "pair.pt")
    code = (
        "import sys, torch; sys.modules['sdcda_tutorial'] = None; x, y = torch.load('pair.pt')\n"
        "assert torch.allclose(torch.export.load('counter.pt2').module()(x), y, rtol=1e-4, atol=1e-7)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


@pytest.mark.slow
def test_a_program_refuses_bytes(tmp_path: Path) -> None:
    """As a camera gives them: white would be 255 instead of 1, and the count another."""
    export_program(COUNTERS["paper"](), tmp_path / "counter.pt2", (32, 48))
    program = torch.export.load(tmp_path / "counter.pt2").module()
    with pytest.raises(RuntimeError, match="dtype"):
        program(torch.zeros(1, 3, 32, 48, dtype=torch.uint8))
    program(torch.zeros(1, 3, 32, 48))


@pytest.mark.parametrize("size", [(64,), (0, 5), (1, 2, 3)])
def test_a_program_is_for_a_height_and_a_width(size: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="height, width"):
        export_program(COUNTERS["paper"](), tmp_path / "counter.pt2", size)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_counter_as_training_leaves_it_is_exported_and_left_so(tmp_path: Path) -> None:
    counter = seen_something(COUNTERS["paper"]()).train()
    Hardware().prepare(counter)  # channels-last
    export_program(counter, tmp_path / "counter.pt2", (33, 47))
    assert counter.training and [path.name for path in tmp_path.iterdir()] == ["counter.pt2"]
    x = torch.rand(1, 3, 33, 47)
    assert torch.allclose(
        torch.export.load(tmp_path / "counter.pt2").module()(x), counter.eval()(x), rtol=1e-4, atol=1e-7
    )


def test_a_program_has_the_ending_that_torch_asks_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"counter should end in \.pt2; rename it"):
        export_program(COUNTERS["paper"](), tmp_path / "counter", (16, 16))


def test_a_program_that_counts_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        def module(self) -> nn.Module:
            return nn.Conv2d(3, 1, 1)

    monkeypatch.setattr(torch.export, "export", lambda *_, **__: Wrong())
    with pytest.raises(InputError, match="does not export this counter exactly"):
        export_program(COUNTERS["paper"](), tmp_path / "counter.pt2", (16, 16))
    assert list(tmp_path.iterdir()) == []
