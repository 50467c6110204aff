"""A method with a setting changed, by name: `se@masks=perfect`, `se+fd@lambda_d=1e-4`, `sfcn-se@lambda_t=0.1`.

What a reviewer asks for: does it hang on this one number, and what if the masks were better, or worse? `sdcda
benchmark` takes such names beside those of the methods.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.experiments.control_masks import MASKS, write_control_masks
from sdcda_tutorial.experiments.pipeline import Experiment
from sdcda_tutorial.training.config import D_SEES, TARGET_LOSSES, AdaptationConfig

_METHODS = ("se", "fd", "se+fd")  # where there is something to vary
_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d{1,2})?", re.ASCII)
_LAMBDAS = {"lambda_s": "seg_source", "lambda_t": "seg_target", "lambda_d": "adversarial"}
_CHOICES: dict[str, tuple[str, tuple[str, ...]]] = {
    "D": ("discriminator_sees", D_SEES),
    "eq9": ("target_loss", TARGET_LOSSES),
}


@dataclass(frozen=True)
class Variant:
    """A method, and what is other about it.

    Attributes:
        method: name of the method, without the counter.
        weights: fields of `LossWeights` to replace.
        settings: fields of `AdaptationConfig` to replace.
        masks: one of `MASKS`, or None for the mask model's own.
    """

    method: str
    weights: dict[str, float]
    settings: dict[str, Any]
    masks: str | None

    def config(self, config: AdaptationConfig) -> AdaptationConfig:
        """The method's configuration with this variant's changes."""
        return replace(config, weights=replace(config.weights, **self.weights), **self.settings)

    def masks_folder(self, experiment: Experiment) -> Path | None:
        """The masks of this variant, made where they are not there yet; None where they are the ordinary ones."""
        if self.masks is None:
            return None
        predicted = experiment.pseudo_masks()
        assert predicted is not None and experiment.target is not None, "there is no dry run of a variant"
        return write_control_masks(self.masks, experiment.target, predicted, experiment.folder / f"masks-{self.masks}")


def parse(name: str) -> Variant:
    """The variant of a name without its counter; a plain method is one that changes nothing.

    Raises:
        InputError: the setting or its value makes no sense.
    """
    method, *changes = name.split("@")
    weights: dict[str, float] = {}
    settings: dict[str, Any] = {}
    masks = None
    seen = set()
    if changes and method not in _METHODS:
        raise InputError(f"{name!r}: there is nothing to vary in {method}; it can be done with {', '.join(_METHODS)}")
    for part in changes:
        setting, _, value = part.partition("=")
        if setting in seen:
            raise InputError(f"{name!r} sets {setting} twice")
        seen.add(setting)
        if setting == "masks" and value in MASKS:
            masks = value
        elif setting in _LAMBDAS and _NUMBER.fullmatch(value):
            weights[_LAMBDAS[setting]] = float(value)
        elif setting in _CHOICES and value in _CHOICES[setting][1]:
            settings[_CHOICES[setting][0]] = value
        else:
            raise InputError(
                f"{name!r} changes {part!r}; a variant is METHOD@SETTING=VALUE with {', '.join(_LAMBDAS)} = a number "
                f"from 0 up, masks = {', '.join(MASKS)}, "
                + ", ".join(f"{key} = {' or '.join(values)}" for key, (_, values) in _CHOICES.items())
            )
    if masks is not None and (method == "fd" or weights.get("seg_target") == 0):
        raise InputError(f"{name!r} has no use for masks: its λt is zero")
    if "discriminator_sees" in settings and (method == "se" or weights.get("adversarial") == 0):
        raise InputError(f"{name!r} has no D that could look at anything: its λd is zero")
    if settings.get("discriminator_sees") == "mask" and (method == "fd" or _zero(weights, "seg_source", "seg_target")):
        raise InputError(f"{name!r} has no S whose mask D could look at: its λs and λt are zero")
    if "target_loss" in settings and (method == "fd" or weights.get("seg_target") == 0):
        raise InputError(f"{name!r} has no use for Eq. 9: its λt is zero")
    return Variant(method, weights, settings, masks)


def _zero(weights: Mapping[str, float], *names: str) -> bool:
    return all(weights.get(name) == 0 for name in names)
