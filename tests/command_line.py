"""The command line as tests call it: in this process, where torch is imported once, on a world of a few images."""

from __future__ import annotations

import contextlib
import functools
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import sdcda_tutorial.experiments.benchmark
import sdcda_tutorial.experiments.demo
import sdcda_tutorial.mini_world
from sdcda_tutorial.cli import main
from sdcda_tutorial.datasets.batches import Augmentation
from sdcda_tutorial.experiments.presets import PRESETS, Preset

WORLD = sdcda_tutorial.mini_world.MiniWorldSettings(
    height=96, width=112, source_train=8, source_test=2, target_train=4, target_test=5, third_train=4
)


def tiny(preset: Preset) -> Preset:
    """The same preset in a second: two steps of networks with a few channels."""
    window = Augmentation((128, 128))  # the smallest that D's four convolutions can look at
    network: dict[str, Any] = {
        "width": 1 / 32, "discriminator_width": 1 / 32, "steps": 2, "batch_size": 2, "validate_every": 1,
        "source": window, "target": window,
    }  # fmt: skip
    assert preset.warm_start is not None
    return Preset(
        segmenter=replace(preset.segmenter, width=1 / 32, steps=2, batch_size=2, augmentation=window),
        warm_start=replace(preset.warm_start, **network),
        adaptation=replace(preset.adaptation, **network),
        translation=replace(
            preset.translation, width=1 / 32, discriminator_width=1 / 32, blocks=1, steps=2,
            augmentation=Augmentation((24, 32)),
        ),
    )  # fmt: skip


@contextlib.contextmanager
def small_home(folder: Path) -> Iterator[Path]:
    """`folder` to work in, taken for a clone, with the mini world and the laptop's presets at the size of a test."""
    (folder / "data" / "results").mkdir(parents=True)
    (folder / "data" / "results" / "mini_world.json").touch()
    ensure = functools.partial(
        sdcda_tutorial.mini_world.ensure_mini_world, settings=WORLD, workers=1, progress=False
    )  # whoever asks for the mini world gets this one
    open_small = functools.partial(sdcda_tutorial.mini_world.open_mini_world, settings=WORLD)
    presets = {name: tiny(PRESETS[name]) for name in ("mini", "photos")}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sdcda_tutorial.mini_world, "ensure_mini_world", ensure)
        patch.setattr(sdcda_tutorial.experiments.benchmark, "ensure_mini_world", ensure)
        patch.setattr(sdcda_tutorial.experiments.demo, "MINI", presets["mini"])
        patch.setattr(sdcda_tutorial.experiments.demo, "open_mini_world", open_small)
        for name, preset in presets.items():
            patch.setitem(PRESETS, name, preset)
        patch.setenv("COLUMNS", "100")
        yield folder


@dataclass
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that begins with `sdcda: `: the last one, below any progress bar."""
        assert "Traceback" not in self.err
        *before, last = self.err.replace("\r", "\n").strip().split("\n")
        assert last.startswith("sdcda: ") and not any(line.startswith("sdcda: ") for line in before), self.err
        return last


def run(*arguments: object) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as leaving:
        main([str(argument) for argument in arguments])
    assert isinstance(leaving.value.code, int)
    return Done(leaving.value.code, out.getvalue(), err.getvalue())


def ran(*arguments: object) -> str:
    done = run(*arguments)
    assert done.code == 0, done.err
    return done.out


def files(folder: Path | str = ".") -> dict[str, tuple[int, int]]:
    """Every file below a folder, hidden ones too, and what changes when it is written."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def refused(*arguments: object) -> str:
    """The complaint about bad input: the only line, exit code 2, not a file written or changed."""
    before = files()
    done = run(*arguments)
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err == f"{done.complaint}\n"
    assert files() == before
    return done.complaint


def appear(path: Path) -> None:
    """Wait for a file by which another process says that it has come so far."""
    for _ in range(3000):
        if path.exists():
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} did not appear")
