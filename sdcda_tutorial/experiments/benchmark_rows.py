"""The rows that a benchmark can have: methods, rivals, controls, both counters, and the groups one asks for by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.experiments.control_masks import MASKS
from sdcda_tutorial.experiments.presets import METHODS, Preset, split_run_name
from sdcda_tutorial.experiments.variants import parse
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.rivals.translation_config import TRANSLATIONS
from sdcda_tutorial.training.config import AdaptationConfig

EARLY = "noadapt-early"  # the warm start itself: source-only, stopped where the adaptation begins


def controls(preset: Preset) -> dict[str, AdaptationConfig]:
    """What is trained beside the methods, by name, to tell which part of a method does it."""
    on, off = preset.adaptation, LossWeights(0, 0, 0)
    return {
        # S learns the crowd of the source only: is it the target's background that helps, or the second task?
        "s-source": replace(on, weights=replace(off, seg_source=on.weights.seg_source)),
        # No loss on the target at all, but its images pass through E: is it only the batch norm statistics?
        "bn-target": replace(on, weights=off, target_batch_norm=True),
    }


_TITLES: dict[str, str] = {
    EARLY: "NoAdapt (early)",
    "noadapt": "NoAdapt",
    "bn-target": "batch norm sees target",
    "s-source": "S on source only",
    "fd": "FD",
    "se": "SE",
    "se+fd": "SE+FD",
    "cyclegan": "CycleGAN",
    "se-cyclegan": "SE CycleGAN",
}
# The paper's counter goes without saying. With both, what an adaptation gains and what a counter does are told apart.
METHOD_TITLES = _TITLES | {f"sfcn-{name}": f"SFCN, {_TITLES[name]}" for name in (*METHODS, *TRANSLATIONS)}

GROUPS: dict[str, tuple[str, ...]] = {
    "ablation": (EARLY, "noadapt", "bn-target", "s-source", "fd", "se", "se+fd"),  # the table of the README
    "table-1": tuple(  # its methods, each with both counters
        f"{counter}{name}" for counter in ("sfcn-", "") for name in ("noadapt", "cyclegan", "se-cyclegan", "se+fd")
    ),
    "all": tuple(METHOD_TITLES),
    "masks": ("noadapt", "se", *(f"se@masks={kind}" for kind in MASKS)),
    "readings": ("noadapt", "se", "se@eq9=entropy", "se+fd", "se+fd@D=mask", "se+fd@D=density"),
    "lambdas": (
        "noadapt",
        "se",
        "se+fd",
        *(f"se@lambda_{which}={value}" for which in ("s", "t") for value in ("0.001", "0.1")),
        *(f"se+fd@lambda_d={value}" for value in ("1e-05", "0.0001", "0.01")),
    ),
}


_CHANGES = {"eq9=entropy": "Eq. 9 as entropy", "D=mask": "D sees the mask", "D=density": "D sees the density"}


def run_folder(of_seed: Path, method: str) -> Path:
    """Where the run of a method lies in the folder of its seed."""
    return of_seed / ("warm_start" if method == EARLY else method)


def titles(names: Sequence[str]) -> dict[str, str]:
    """What methods and variants are called: "se@masks=perfect" is "SE, masks perfect".

    Raises:
        InputError: a name is unknown, or what it changes is.
    """
    found = {}
    for name in names:
        method, _, changes = name.partition("@")
        if method not in METHOD_TITLES:
            known = ", ".join([*METHOD_TITLES, *GROUPS])
            raise InputError(f"unknown method {name!r}; known are {known}")
        parse(split_run_name(name)[1])
        said = [_CHANGES.get(change, change.replace("=", " ")) for change in changes.split("@") if change]
        found[name] = ", ".join([METHOD_TITLES[method], *said])
    return found
