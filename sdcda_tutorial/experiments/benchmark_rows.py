"""The rows that a benchmark can have: methods, rivals, controls, both counters, and named groups of them.

A row is also a method with a setting changed: `se@masks=perfect`, `se+fd@lambda_d=1e-4`, `sfcn-se@lambda_t=0.1`. Does
the result depend on this one number? What if the masks were better, or worse?
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.experiments.control_masks import MASKS, write_control_masks
from sdcda_tutorial.experiments.pipeline import Experiment
from sdcda_tutorial.experiments.presets import LAMBDAS, METHODS, MINI, Preset, split_run_name
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.rivals.translation import TRANSLATIONS
from sdcda_tutorial.training.config import D_SEES, TARGET_LOSSES, AdaptationConfig

EARLY = "noadapt-early"  # the warm start itself: source-only, stopped where the adaptation begins


def controls(preset: Preset) -> dict[str, AdaptationConfig]:
    """What is trained beside the methods, by name, to see which part of a method has the effect."""
    on = preset.adaptation
    return {
        # S learns the crowd of the source only: is it the target's background that helps, or the second task? (In the
        # preset photos all rows have had that task in the warm start.)
        "s-source": replace(on, weights=LossWeights(seg_source=on.weights.seg_source)),
        # No loss on the target at all, but its images pass through E: is it only the batch norm statistics?
        "bn-target": replace(on, weights=LossWeights(), target_batch_norm=True),
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
        *(f"se@lambda_{which}={value}" for which in ("s", "t") for value in ("0.001", "0.01", "0.1")),
        *(f"se+fd@lambda_d={value}" for value in ("1e-05", "0.0001", "0.001", "0.01")),
    ),
}


_CHOICES = {"D": ("discriminator_sees", D_SEES), "eq9": ("target_loss", TARGET_LOSSES)}
_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d{1,2})?", re.ASCII)
_SAID = {"eq9=entropy": "Eq. 9 as entropy", "D=mask": "D sees the mask", "D=density": "D sees the density"}


@dataclass(frozen=True)
class ChangedMethod:
    """A method, and what is changed in it; nothing for a plain one.

    Attributes:
        method: its name, without the counter.
        weights: fields of `LossWeights` to replace.
        settings: fields of `AdaptationConfig` to replace.
        masks: one of `MASKS`, or None for the mask model's own.
    """

    method: str
    weights: dict[str, float]
    settings: dict[str, Any]
    masks: str | None

    def config(self, preset: Preset) -> AdaptationConfig:
        """The configuration of the method, or of the control, with the changes."""
        plain = controls(preset).get(self.method) or preset.method(self.method)
        return replace(plain, weights=replace(plain.weights, **self.weights), **self.settings)

    def train(self, experiment: Experiment, run: str) -> Path:
        """Train it as `run` of the experiment, on masks that are made where they are not there yet; its model."""
        if self.masks is not None:
            predicted = experiment.pseudo_masks()
            assert predicted is not None and experiment.target is not None, "there is no dry run of a changed method"
            folder = experiment.folder / f"masks-{self.masks}"
            write_control_masks(self.masks, experiment.target, predicted, folder)
            experiment = replace(experiment, masks=folder)
        return experiment.train(run, self.config(experiment.preset), resume=True)


def parse(name: str) -> ChangedMethod:
    """The method that a name without its counter stands for.

    Raises:
        InputError: the setting or its value makes no sense.
    """
    method, *changes = name.split("@")
    changeable = [known for known in METHODS if known != "noadapt"]
    if changes and method not in changeable:
        raise InputError(f"{name!r}: there is nothing to vary in {method}; it can be done with {', '.join(changeable)}")
    found = ChangedMethod(method, {}, {}, None)
    seen = set()
    for change in changes:
        setting, _, value = change.partition("=")
        if setting in seen:
            raise InputError(f"{name!r} sets {setting} twice")
        seen.add(setting)
        if setting == "masks" and value in MASKS:
            found = replace(found, masks=value)
        elif setting in LAMBDAS and _NUMBER.fullmatch(value):
            found.weights[LAMBDAS[setting]] = float(value)
        elif setting in _CHOICES and value in _CHOICES[setting][1]:
            found.settings[_CHOICES[setting][0]] = value
        else:
            raise InputError(
                f"{name!r} changes {change!r}; a variant is METHOD@SETTING=VALUE with {', '.join(LAMBDAS)} = a number "
                f"from 0 up, masks = {', '.join(MASKS)}, "
                + ", ".join(f"{key} = {' or '.join(values)}" for key, (_, values) in _CHOICES.items())
            )
    # A change without effect; which λ are zero is the same in every preset.
    weights = replace(MINI.method(method).weights, **found.weights) if changes else LossWeights()
    sees = found.settings.get("discriminator_sees")
    for changed, has_effect, lacks in (
        (found.masks, weights.needs_pseudo_masks, "use for masks: its λt is zero"),
        (sees, weights.needs_D, "D that could look at anything: its λd is zero"),
        (sees == "mask", weights.needs_S, "S whose mask D could look at: its λs and λt are zero"),
        ("target_loss" in found.settings, weights.needs_pseudo_masks, "use for Eq. 9: its λt is zero"),
    ):
        if changed and not has_effect:
            raise InputError(f"{name!r} has no {lacks}")
    return found


def changes_nothing(name: str, preset: Preset) -> bool:
    """Whether a changed row is the plain method in this preset, as se@lambda_t=0.01 is."""
    changed = parse(split_run_name(name)[1])
    plain = replace(changed, weights={}, settings={})
    return "@" in name and changed.masks is None and changed.config(preset) == plain.config(preset)


def needs_pseudo_masks(name: str, preset: Preset) -> bool:
    """Whether a row learns from the target's pseudo-masks."""
    return name != EARLY and parse(split_run_name(name)[1]).config(preset).weights.needs_pseudo_masks


def run_folder(of_seed: Path, method: str) -> Path:
    """The run of a method in the folder of its seed."""
    return of_seed / ("warm_start" if method == EARLY else method)


def titles(names: Sequence[str]) -> dict[str, str]:
    """name -> title, of changed methods too: "SE, masks perfect"; an InputError for a name or a change unknown."""
    found = {}
    for name in names:
        method, *changes = name.split("@")
        if method not in METHOD_TITLES:
            raise InputError(f"unknown method {name!r}; known are {', '.join([*METHOD_TITLES, *GROUPS])}")
        parse(split_run_name(name)[1])
        found[name] = ", ".join([METHOD_TITLES[method], *(_SAID.get(c, c.replace("=", " ")) for c in changes)])
    return found
