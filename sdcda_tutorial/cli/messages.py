"""What a command says: only in the first of several processes, and with the words of the command line."""

from __future__ import annotations

import os
import re

import typer

_OPTIONS = (
    "accumulate", "batch_size", "boxes", "checkpoint_activations", "compile", "devices", "masks", "max_side", "nodes",
    "random_weights", "region", "resume", "segmenter", "target", "tensorboard",
)  # fmt: skip
# The rest of the package names Python's parameters and functions in its messages: here is what a user types instead.
ON_THE_COMMAND_LINE = {
    **{name: f"--{name.replace('_', '-')}" for name in _OPTIONS},
    "folder": "--out",
    "pseudo_masks": "--masks",
    "vgg_weights": "--weights",
    "ensure_mini_world": "`sdcda data mini`",
    "make_dataset": "`sdcda data make`",
    "write_pseudo_masks": "`sdcda masks`",
    "evaluate": "`sdcda evaluate`",
    "predict_density": "`sdcda predict`",
}


def translate(message: str) -> str:
    """The message with options for parameters, and commands for functions, where it names them in backticks."""
    return re.sub(r"`(\w+)`", lambda name: ON_THE_COMMAND_LINE.get(name[1], name[0]), message)


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
