"""`sdcda evaluate`: measure models on a labelled data set."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from sdcda_tutorial.cli import options
from sdcda_tutorial.cli.messages import is_first_process, say, tell_of
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import in_one_line


def evaluate(
    checkpoint: Annotated[
        list[Path],
        typer.Option(help="model.safetensors of a run, or a bundled counter: se+fd, noadapt; give several"),
    ],
    target: Annotated[str, typer.Option(help="labelled data set to measure on, such as shanghaitech-b:ROOT")] = "mini",
    split: Annotated[str, typer.Option(help="part of the data set")] = "test",
    out: Annotated[Path, typer.Option(help="folder; older files of the same models are replaced")] = Path(
        "build/evaluation"
    ),
    size: options.Size = None,
    variant: Annotated[str, typer.Option(help="of PSNR and SSIM: standard or authors")] = "standard",
    devices: options.Devices = 1,
) -> None:
    """Count the people of a labelled set: MAE, MSE, PSNR, SSIM, where the error lies, and a Fig. 2 panel."""
    from sdcda_tutorial.evaluation.comparison import compare, measured_card
    from sdcda_tutorial.evaluation.tables import table

    if variant not in ("standard", "authors"):
        raise InputError(f"variant is standard or authors, not {variant!r}")
    checkpoint = [options.find_model(one) for one in checkpoint]
    dataset = options.open_data(target, "target", split, size)
    split = options.labelled_part(target, split, say)
    hardware = options.choose_hardware("32-true", devices=devices)
    tell_of({"test": dataset})
    results = hardware.run(compare, checkpoint, dataset, out, variant, {"split": split}, hardware)
    say(table(results))
    if is_first_process():  # the only process that may write into a card
        for path, found in zip(checkpoint, results.values(), strict=True):
            say("\n" + measured_card(path, found))
    older = [path for path in sorted(out.glob("*.json")) if path.stem not in results and _is_evaluation(path)]
    beside = ", ".join(in_one_line(path.name) for path in older)
    say(f"\nrows and panel are in {in_one_line(out)}" + (f", beside an older evaluation: {beside}" if older else ""))


def _is_evaluation(path: Path) -> bool:
    from sdcda_tutorial.evaluation.results import BEGINNINGS
    from sdcda_tutorial.files import regular_file

    with suppress(OSError, InputError), open(regular_file(path), encoding="utf-8", errors="replace") as file:
        return file.read(len(BEGINNINGS["json"])) == BEGINNINGS["json"]
    return False
