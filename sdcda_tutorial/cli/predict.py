"""`sdcda predict`: count the people of any photograph."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sdcda_tutorial.cli.options import find_model, given
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import in_one_line

if TYPE_CHECKING:
    from torch import nn

Region = Annotated[
    str | None,
    typer.Option(
        help="count here too: a box x0,y0,x1,y1 or corners 'x,y x,y x,y ...' in pixels of the upright photograph as "
        "it is stored"
    ),
]
Area = Annotated[float | None, typer.Option(help="square metres of ground in the region: prints people per m²")]
SaveMap = Annotated[
    bool, typer.Option("--save-map", help="write the density map too: NAME.npy, and NAME-map.png in 16 bits")
]
AsJson = Annotated[str | None, typer.Option(metavar="FILE", help="write a record per photograph; - prints them")]
AsCsv = Annotated[str | None, typer.Option(metavar="FILE", help="as --json, a line per photograph")]


def predict(
    photo: Annotated[list[Path], typer.Argument(help="photographs")],
    checkpoint: Annotated[
        Path, typer.Option(help="model.safetensors of a run, or a bundled counter: se+fd, noadapt")
    ] = Path("se+fd"),
    out: Annotated[Path, typer.Option(help="folder for the overlays")] = Path("build/predictions"),
    max_side: Annotated[int | None, typer.Option(min=1, help="shrink larger photographs to this many pixels")] = None,
    region: Region = None,
    area: Area = None,
    save_map: SaveMap = False,
    half: Annotated[bool, typer.Option("--half", help="in float16, on hardware for it: faster, within 0.1 %")] = False,
    json: AsJson = None,
    csv: AsCsv = None,
) -> None:
    """Count the people of any photograph and lay the density over it."""
    from sdcda_tutorial.datasets.images import image_size, pictures_in, read_image_at
    from sdcda_tutorial.evaluation import model_card
    from sdcda_tutorial.evaluation.overlay import save_overlay
    from sdcda_tutorial.evaluation.regions import parse_region, refuse_beyond
    from sdcda_tutorial.files import refuse_long_names, require_writable
    from sdcda_tutorial.folding import folded

    corners = None if region is None else parse_region(region)
    if area is not None and not (corners is not None and 1e-6 <= area < math.inf):
        raise InputError("--area is the square metres, a millionth or more, of a --region; give both")
    _refuse_other_files(json, csv, out)
    named, checkpoint = checkpoint, find_model(checkpoint)
    counter, card, digest = model_card.load_measured(checkpoint)
    counter = folded(counter)
    require_writable(out)
    photo = _without_our_own(photo)
    for path in photo:
        pictures = pictures_in(path)
        if pictures > 1:
            typer.echo(f"note: {in_one_line(path)} holds {pictures} pictures, and the first is counted", err=True)
        if len(photo) > 1:  # all are whole before anything is written: a JPEG's smallest decoding shows
            read_image_at(path, (1, 1))
        if corners is not None:
            refuse_beyond(corners, image_size(path, upright=True), path)
        refuse_long_names(out / f"{path.stem}{'-map' if save_map else ''}.png")
    precision = "float16" if half else None
    records, about = [], {"weights_sha256": digest, **given(region=region, precision=precision)}
    for path in photo:
        with _half_where_asked(counter, half, path):
            record = save_overlay(out, path, counter, max_side, region=corners, with_map=save_map) | about
        if area is not None:
            record["people_per_m2"] = record["region_count"] / area
        records.append(record)
        typer.echo(_line(record), err="-" in (json, csv))
    _write(records, json, csv)
    typer.echo(model_card.describe(checkpoint, card, digest), err=True)  # apart from what a program may read
    if named != checkpoint or _is_of_drawn_scenes(card):
        model = in_one_line(named)
        typer.echo(
            f"note: {model} was trained on synthetic scenes only; do not rely on its counts of photographs", err=True
        )


def _is_of_drawn_scenes(card: Mapping[str, Any]) -> bool:
    """Whether a counter has seen the mini world only, by its card; an old one may not say."""
    from sdcda_tutorial.guards.provenance import WORLD
    from sdcda_tutorial.places import MINI_WORLD

    config = card.get("config")
    learnt = [config.get(name) for name in ("source_data", "target_data")] if isinstance(config, dict) else []
    sets = [one for one in learnt if one is not None]
    return bool(sets) and all(isinstance(one, dict) and one.get(WORLD) == MINI_WORLD for one in sets)


def _without_our_own(photo: Sequence[Path]) -> list[Path]:
    """The photographs without overlays and maps of earlier counts, which a pattern like *.png names too."""
    from sdcda_tutorial.datasets.images import drawn_by_predict

    ours = {path for path in photo if path.suffix == ".png" and drawn_by_predict(path)}
    if len(ours) == len({*photo}):
        raise InputError(f"{photo[0]} is an overlay or a map that this command has drawn; name the photograph")
    for path in sorted(ours):
        typer.echo(f"note: {in_one_line(path)} is not counted: it is an overlay or a map of this command", err=True)
    return [path for path in photo if path not in ours]


@contextmanager
def _half_where_asked(counter: nn.Module, half: bool, photo: Path) -> Iterator[None]:
    """Compute in float16, on the device that has it."""
    if not half:
        yield
        return
    import torch

    from sdcda_tutorial.training.hardware import half_device

    device = half_device()
    try:
        with torch.autocast(device, torch.float16):
            counter.to(device)
            yield
    except torch.cuda.OutOfMemoryError:
        raise InputError(f"the GPU's memory is too small for {photo}; give --max-side, or no --half") from None


def _line(record: Mapping[str, Any]) -> str:
    parts = [f"{in_one_line(record['photo'])}: {record['count']:.1f} people"]
    if "region_count" in record:
        parts.append(f"{record['region_count']:.1f} in the region")
    if "people_per_m2" in record:
        parts.append(f"{record['people_per_m2']:.3g} per m²")
    return ", ".join([*parts, in_one_line(record["overlay"])])


def _refuse_other_files(json: str | None, csv: str | None, out: Path) -> None:
    """Raise an InputError, before anything is counted, where the records cannot be written."""
    from sdcda_tutorial.evaluation.records import BEGINNINGS, is_csv, is_json
    from sdcda_tutorial.files import refuse_other_file

    if None not in (json, csv) and Path(str(json)).resolve() == Path(str(csv)).resolve():
        raise InputError(f"--json and --csv are both {json}; name two files")
    for name, file, other, is_ours in (("json", json, csv, is_json), ("csv", csv, json, is_csv)):
        if file not in (None, "-"):
            refuse_other_file(file, BEGINNINGS[name], is_ours)
            folders = [out.resolve()] + ([] if other in (None, "-") else [Path(other).resolve().parent])
            if any(Path(file).resolve() in (folder, *folder.parents) for folder in folders):
                raise InputError(f"--{name} {file} would be the folder of other files of this command; name another")
        if file is not None and Path(file).suffix in (".png", ".npy"):
            raise InputError(f"--{name} {file} would be taken for an overlay or a map; name it FILE.{name}")


def _write(records: Sequence[Mapping[str, Any]], json: str | None, csv: str | None) -> None:
    from sdcda_tutorial.evaluation.records import as_csv, as_json
    from sdcda_tutorial.files import write_text
    from sdcda_tutorial.guards.locks import one_writer

    for file, as_text in ((json, as_json), (csv, as_csv)):
        if file == "-":
            typer.echo(as_text(records), nl=False)
        elif file is not None:
            path = Path(file).resolve()  # a link stays a link
            with one_writer(path.parent, wait=math.inf):
                write_text(path, as_text(records))
