"""`sdcda predict`: count the people of any photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def predict(
    photo: Annotated[list[Path], typer.Argument(help="photographs")],
    checkpoint: Annotated[Path, typer.Option(help="model.safetensors of a run")],
    out: Annotated[Path, typer.Option(help="folder for the overlays")] = Path("build/predictions"),
    max_side: Annotated[int | None, typer.Option(min=1, help="shrink larger photographs to this many pixels")] = None,
) -> None:
    """Count the people of any photograph and lay the density over it."""
    from sdcda_tutorial.datasets.images import read_image_at_least
    from sdcda_tutorial.evaluation import model_card
    from sdcda_tutorial.evaluation.pictures import save_overlay
    from sdcda_tutorial.training.checkpoints import load_counter

    counter, _ = load_counter(checkpoint)
    for path in photo if len(photo) > 1 else []:
        read_image_at_least(path, (1, 1))  # all are whole before anything is written: a JPEG's smallest decoding shows
    for path in photo:
        typer.echo(f"{path}: {save_overlay(out, path, counter, max_side)}")
    typer.echo(model_card.text(checkpoint), err=True)  # apart from the counts, which a program may read
