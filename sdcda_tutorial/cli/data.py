"""`sdcda data`: make the mini world, check a copy of a real data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdcda_tutorial.errors import InputError

data_app = typer.Typer(help="Data sets: make the mini world, check a copy of a real one.")


@data_app.command("mini")
def data_mini(
    root: Annotated[Path, typer.Option(help="where to write it")] = Path("data/mini"),
    seed: Annotated[int, typer.Option(min=0, help="another seed draws another world")] = 0,
) -> None:
    """Draw the mini world: three small domains in the native formats of GCC, ShanghaiTech and CrowdHuman."""
    from sdcda_tutorial.datasets import MINI_ROOT
    from sdcda_tutorial.mini_world import ensure_mini_world

    if seed != 0 and root.resolve() == MINI_ROOT.resolve():  # plain `mini` would draw that of seed 0 there anew
        raise InputError(f"{MINI_ROOT} is the world of seed 0; give another --root and name it mini-target:ROOT")
    typer.echo(f"the mini world is in {ensure_mini_world(root, seed=seed)}")


@data_app.command("check")
def data_check(
    name: Annotated[str, typer.Argument(help="gcc, shanghaitech-a, shanghaitech-b, ucf-qnrf, crowdhuman, mini ...")],
    root: Annotated[str | None, typer.Argument(help="its folder; mini needs none")] = None,
    full: Annotated[bool, typer.Option("--full", help="open all images, not up to 50 of each part")] = False,
) -> None:
    """Check a copy of a data set: is everything there that was published, and can it be read?

    Missing files are looked for among all, damage in the images that are opened. Nothing is changed.

    Exit code 0: what is there is sound, even where it is less than was published; the table says so.
    Exit code 1: a file is missing from a pair, is broken, or says something wrong; the table says which.
    Exit code 2: no such data set or folder.
    """
    from sdcda_tutorial.cli.messages import translate
    from sdcda_tutorial.datasets.check import check

    names = ["mini-source", "mini-target", "mini-third"] if name == "mini" else [name]
    reports = [check(one, root, full=full) for one in names]
    typer.echo("\n\n".join(translate(report.table()) for report in reports))
    if not all(report.ok for report in reports):
        raise typer.Exit(1)
