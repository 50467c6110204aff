"""`sdcda data`: make the mini world or a set of one's own images, check a copy of a real data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import in_one_line

data_app = typer.Typer(help="Data sets: make the mini world, make one of your own images, check a copy of a real one.")


@data_app.command("mini")
def data_mini(
    root: Annotated[
        Path | None, typer.Option(help="where to write it; by default data/mini of a clone, or else the user's cache")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="another seed draws another world")] = 0,
) -> None:
    """Draw the mini world: three small domains in the native formats of GCC, ShanghaiTech and CrowdHuman."""
    from sdcda_tutorial.mini_world import ensure_mini_world
    from sdcda_tutorial.mini_world.world import manifest_of
    from sdcda_tutorial.places import mini_root

    own = mini_root()
    if seed != 0 and (root or own).resolve() == own.resolve():  # plain `mini` would draw that of seed 0 there anew
        raise InputError(f"{own} is the world of seed 0; give another --root and name it mini-target:ROOT")
    there = manifest_of(root or own).get("seed", seed)
    if there != seed:
        raise InputError(f"{root} is the world of seed {there}; give --seed {there}, or another --root")
    typer.echo(f"the mini world is in {ensure_mini_world(root or own, seed=seed)}")


@data_app.command("make")
def data_make(
    labels: Annotated[Path, typer.Argument(help="a .csv or .json file with the head points")],
    images: Annotated[Path, typer.Argument(help="the folder of the images")],
    out: Annotated[Path, typer.Argument(help="a new folder, or one that holds the other part")],
    split: Annotated[str, typer.Option(help="train or test: the part that these images become")] = "train",
) -> None:
    """Make a data set of your own images and head points, to be named shanghaitech:OUT; the images are copied.

    A CSV file has a line image,x,y for each head, and image,, for an image without people. A JSON file holds
    {"image.jpg": [[x, y], ...], ...}. Points are in pixels: (0, 0) is the top left corner, x goes to the right.
    """
    from sdcda_tutorial.datasets.own_data import make_dataset

    made = make_dataset(labels, images, out, split)
    typer.echo(f"{made.folder} holds {made.images} images with {made.points} points; name it shanghaitech:{out}")
    for image, number in made.outside.items():
        typer.echo(f"note: {number} points of {in_one_line(image)} lie outside it; they will not be counted")
    if made.in_both:
        what = f"{len(made.in_both)} images are in the other part too, first {in_one_line(made.in_both[0])}"
        typer.echo(f"note: {what}: what is learnt from one part cannot be measured on the other")
    if made.unlabelled:
        few = ", ".join(map(in_one_line, made.unlabelled[:3])) + (", ..." if made.unlabelled[3:] else "")
        typer.echo(f"note: {len(made.unlabelled)} images in {images} are not in {labels} and were left out: {few}")


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

    if root is None and ":" in name:  # as all other commands have it
        name, _, root = name.partition(":")
    names = ["mini-source", "mini-target", "mini-third"] if name == "mini" else [name]
    reports = [check(one, root, full=full) for one in names]
    typer.echo("\n\n".join(translate(report.table()) for report in reports))
    if not all(report.ok for report in reports):
        raise typer.Exit(1)
