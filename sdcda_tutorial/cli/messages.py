"""What a command says: only in the first of several processes, and with the words of the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from sdcda_tutorial.datasets import CrowdDataset
    from sdcda_tutorial.datasets.survey import Role

_OPTIONS = (
    "accumulate", "batch_size", "boxes", "checkpoint_activations", "compile", "devices", "half", "masks", "max_side",
    "nodes", "random_weights", "region", "resume", "segmenter", "size", "split", "target", "tensorboard", "warm_steps",
)  # fmt: skip
# The rest of the package names Python's parameters and functions in its messages: here is what a user types instead.
ON_THE_COMMAND_LINE = {
    **{name: f"--{name.replace('_', '-')}" for name in _OPTIONS},
    "None": "stored",
    "folder": "--out",
    "pseudo_masks": "--masks",
    "vgg_weights": "--weights",
    "ensure_mini_world": "`sdcda data mini`",
    "make_dataset": "`sdcda data make`",
    "write_pseudo_masks": "`sdcda masks`",
    "check": "`sdcda data check`",
    "evaluate": "`sdcda evaluate`",
    "predict_density": "`sdcda predict`",
}

# Not every command has these: another parameter of the command, or else what can be said anywhere.
_INSTEAD = {
    "max_side": ("--size", "--size of `sdcda train` and others"),
    "folder": ("OUT", "folder"),
    "masks": ("--masks", "--masks of `sdcda train`"),
}
_taken: set[str] = set()  # what the running command takes


def starts(command: Any) -> None:
    """From now on messages are those of this command of typer: they name its options, and its arguments in capitals."""
    _taken.clear()
    for parameter in command.params:
        _taken.update(parameter.opts)  # of an argument: its name


def translate(message: str) -> str:
    """The message with options for parameters, and commands for functions, where it names them in backticks."""
    return re.sub(r"`(\w+)`", lambda name: _typed(name[1]) or name[0], message)


def _typed(name: str) -> str | None:
    """What a user types for it."""
    typed = ON_THE_COMMAND_LINE.get(name)
    if name not in _INSTEAD or not _taken or typed in _taken:
        return typed
    other, anywhere = _INSTEAD[name]
    return other if other.lower() in _taken else anywhere


def is_first_process() -> bool:
    """As `training.processes.is_first`, without importing torch where no launcher has started this process."""
    if {"RANK", "NODE_RANK", "LOCAL_RANK", "SLURM_PROCID"}.isdisjoint(os.environ):
        return True
    from sdcda_tutorial.training.processes import is_first

    return is_first()


def say(text: str) -> None:
    """Print the text once, whatever the number of processes."""
    if is_first_process():
        typer.echo(text)


def tell_of(used: Mapping[Role, CrowdDataset | None]) -> None:
    """Print on stderr, once, what a user should know of data sets before they are used, by role: see `survey`."""
    from sdcda_tutorial.datasets.survey import survey_once

    first = is_first_process()
    # Every process looks: an error that only one of them had would leave the others waiting for it.
    lines = [
        line for role, data in used.items() if data is not None for line in survey_once(data, role, progress=first)
    ]
    for line in dict.fromkeys(lines) if first else ():
        typer.echo(f"note: {' '.join(translate(line).split())}", err=True)
