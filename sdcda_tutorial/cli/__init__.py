"""The command line, `sdcda`. Data sets are named `name:root`; errors are one line and exit code 2."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sdcda_tutorial.cli.benchmark import benchmark, demo
from sdcda_tutorial.cli.data import data_app
from sdcda_tutorial.cli.options import (
    Accumulate,
    Boxes,
    CheckpointActivations,
    Compile,
    Counter,
    Devices,
    Measured,
    Nodes,
    Precision,
    PresetOption,
    RandomWeights,
    Scenes,
    Seed,
    Segmenter,
    SizeOption,
    Source,
    Target,
    TensorBoard,
    Weights,
    Workers,
    change_adaptation,
    change_masks,
    change_translation,
    choose_hardware,
    find_preset,
    open_boxes,
    open_data,
    refuse_useless_masks,
)
from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.training.processes import GRACE, is_first, started

# torch takes seconds to import: commands import what they need when they run.
app = typer.Typer(
    help="Semantic consistency for cross-domain crowd counting: the mini world, the training, the evaluation.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")


@app.command()
def doctor() -> None:
    """Check Python, the packages, the device and the data; say what to do where something is missing."""
    from sdcda_tutorial.cli.doctor import examine

    checks = examine()
    for check in checks:
        typer.echo(f"[{' OK ' if check.ok else 'FAIL'}] {check.text}" + ("" if check.ok else f" -> {check.mend}"))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@app.command()
def masks(
    target: Target = "mini",
    boxes: Boxes = None,
    out: Annotated[Path, typer.Option(help="folder for the mask model and the masks")] = Path("runs/mini"),
    preset: PresetOption = "mini",
    segmenter: Segmenter = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="probability above it is crowd")] = None,
    scale: Annotated[str | None, typer.Option(help="LOW,HIGH: resizes people to the size in the target")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="steps of training, not the preset's")] = None,
    size: SizeOption = None,
    weights: Weights = None,
    random_weights: RandomWeights = False,
    seed: Seed = 0,
    precision: Precision = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    workers: Workers = None,
    accumulate: Accumulate = 1,
    checkpoint_activations: CheckpointActivations = False,
    compile: Compile = False,
    tensorboard: TensorBoard = False,
) -> None:
    """Train the mask model on boxes and write the pseudo-masks of the target."""
    from sdcda_tutorial.experiments.pipeline import Experiment
    from sdcda_tutorial.training import Records

    settings, records = find_preset(preset, random_weights), Records(tensorboard=tensorboard)
    hardware = choose_hardware(
        precision, devices=devices, nodes=nodes, workers=workers, accumulate=accumulate, compile=compile,
        checkpoint_activations=checkpoint_activations,
    )  # fmt: skip
    settings = change_masks(settings, threshold, scale, steps, segmenter, boxes)
    data = open_data(target, "target", "train", size)
    experiment = Experiment(
        out, settings, source=data, target=data, boxes=None if segmenter else open_boxes(boxes, target, size),
        segmenter=segmenter, vgg_weights=weights, seed=seed, hardware=hardware, records=records,
    )  # fmt: skip
    experiment.check_mask_model()
    _say(f"the pseudo-masks are in {hardware.run(experiment.pseudo_masks)}")


@app.command()
def train(
    method: Annotated[str, typer.Option(help="noadapt, se, fd, se+fd, cyclegan or se-cyclegan")] = "se+fd",
    counter: Counter = "paper",
    source: Source = "mini",
    scenes: Scenes = None,
    target: Target = "mini",
    boxes: Boxes = None,
    masks: Annotated[Path | None, typer.Option(help="folder of pseudo-masks that `sdcda masks` wrote")] = None,
    segmenter: Segmenter = None,
    out: Annotated[Path, typer.Option(help="folder; methods in one folder share what they can")] = Path("runs/mini"),
    preset: PresetOption = "mini",
    resume: Annotated[bool, typer.Option(help="go on with an interrupted run")] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="steps of the adaptation, not the preset's")] = None,
    warm_steps: Annotated[int | None, typer.Option(min=0, help="steps of the warm start; 0 for none")] = None,
    translation_steps: Annotated[int | None, typer.Option(min=1, help="steps of (SE) CycleGAN")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="images a step and domain, over all devices; of the warm start too")
    ] = None,
    lambda_s: Annotated[float | None, typer.Option(help="weight of Eq. 7")] = None,
    lambda_t: Annotated[float | None, typer.Option(help="weight of Eq. 9")] = None,
    lambda_d: Annotated[float | None, typer.Option(help="weight of Eq. 10")] = None,
    size: SizeOption = None,
    weights: Weights = None,
    random_weights: RandomWeights = False,
    seed: Seed = 0,
    precision: Precision = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    workers: Workers = None,
    accumulate: Accumulate = 1,
    checkpoint_activations: CheckpointActivations = False,
    compile: Compile = False,
    keep: Annotated[int, typer.Option(min=0, help="keep the models of the last so many epochs")] = 0,
    tensorboard: TensorBoard = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="two steps, then what the whole would take; writes nothing")
    ] = False,
) -> None:
    """Train a counter on the source and adapt it to the target; or on a source translated into the target's style."""
    from sdcda_tutorial.datasets.batches import PseudoMasked
    from sdcda_tutorial.experiments.dry_run import dry_run as rehearse
    from sdcda_tutorial.experiments.pipeline import Experiment
    from sdcda_tutorial.rivals.translation import TRANSLATIONS
    from sdcda_tutorial.training import Records

    settings, records = find_preset(preset, random_weights).counter(counter), Records(keep, tensorboard)
    hardware = choose_hardware(
        precision, devices=devices, nodes=nodes, workers=workers, accumulate=accumulate, compile=compile,
        checkpoint_activations=checkpoint_activations,
    )  # fmt: skip
    lambdas = {
        "--lambda-s": ("seg_source", lambda_s),
        "--lambda-t": ("seg_target", lambda_t),
        "--lambda-d": ("adversarial", lambda_d),
    }
    settings = change_adaptation(settings, method, steps, warm_steps, batch_size, lambdas)
    settings = change_translation(settings, method, translation_steps)
    config = settings.method(method)
    refuse_useless_masks(config, masks, segmenter, boxes)
    needs_masks = config.weights.needs_pseudo_masks
    source_data = open_data(source, "source", "train", size, scenes)
    needs_target = config.needs_target or method in TRANSLATIONS
    target_data = open_data(target, "target", "train", size) if needs_target else None
    if needs_masks and masks is not None and target_data is not None:
        PseudoMasked(target_data, masks)[0]  # masks that are missing or of another --size show before the training
    experiment = Experiment(
        out, settings, source=source_data, target=target_data,
        boxes=open_boxes(boxes, target, size) if needs_masks and not (masks or segmenter) else None,
        masks=masks, segmenter=segmenter, vgg_weights=weights, seed=seed, hardware=hardware, records=records,
    )  # fmt: skip
    experiment.check(method, config, resume=resume)
    if dry_run:
        _say(hardware.run(rehearse, experiment, method, resume=resume))
        return
    _say(f"the model is {hardware.run(experiment.train, method, resume=resume)}")


@app.command()
def evaluate(
    checkpoint: Annotated[list[Path], typer.Option(help="model.safetensors of a run; give several to compare them")],
    target: Measured = "mini",
    split: Annotated[str, typer.Option(help="part of the data set")] = "test",
    out: Annotated[Path, typer.Option(help="folder; an older evaluation is replaced")] = Path("build/evaluation"),
    size: SizeOption = None,
    variant: Annotated[str, typer.Option(help="of PSNR and SSIM: standard or authors")] = "standard",
    devices: Devices = 1,
) -> None:
    """Count the people of a labelled set: MAE, MSE, PSNR, SSIM, where the error lies, and a Fig. 2 panel."""
    from sdcda_tutorial.evaluation import report

    if variant not in ("standard", "authors"):
        raise InputError(f"variant is standard or authors, not {variant!r}")
    dataset = open_data(target, "target", split, size)
    hardware = choose_hardware("32-true", devices=devices)
    asked = (checkpoint, dataset, out, variant, {"split": split}, hardware)
    results = hardware.run(report.compare, *asked)
    _say(report.table(results))
    if is_first():
        for path, found in zip(checkpoint, results.values(), strict=True):
            typer.echo("\n" + report.measured_card(path, found))
    _say(f"\nrows and panel are in {out}")


@app.command()
def predict(
    photo: Annotated[list[Path], typer.Argument(help="photographs")],
    checkpoint: Annotated[Path, typer.Option(help="model.safetensors of a run")],
    out: Annotated[Path, typer.Option(help="folder for the overlays")] = Path("build/predictions"),
    max_side: Annotated[int | None, typer.Option(min=1, help="shrink larger photographs to this many pixels")] = None,
) -> None:
    """Count the people of any photograph and lay the density over it."""
    from sdcda_tutorial.datasets.images import read_image_at_least
    from sdcda_tutorial.evaluation import model_card, report
    from sdcda_tutorial.training.checkpoints import load_counter

    counter, _ = load_counter(checkpoint)
    for path in photo if len(photo) > 1 else []:
        read_image_at_least(path, (1, 1))  # all are whole before anything is written: a JPEG's smallest decoding shows
    for path in photo:
        typer.echo(f"{path}: {report.save_overlay(out, path, counter, max_side)}")
    typer.echo(model_card.text(checkpoint), err=True)  # apart from the counts, which a program may read


app.command()(benchmark)
app.command()(demo)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors are one line on stderr, exit code 2 for bad input and 1 for a failed training."""
    asked = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(args=asked or ["--help"], prog_name="sdcda", standalone_mode=False)
    except (InputError, OSError) as error:  # whatever a file or a disk does that nobody foresaw
        _leave(str(error), 2)
    except TrainingStopped as error:
        _leave(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as error:
        # typer's own usage errors, whichever class its version gives them: they can format themselves.
        if not hasattr(error, "format_message"):
            if started():  # it may be the loss of another process, which then has more to say
                time.sleep(GRACE)
            raise
        command = getattr(getattr(error, "ctx", None), "command_path", "sdcda")
        _leave(f"{error.format_message()} (see {command} --help)", 2)
    if code == 130:  # newer versions of typer turn Ctrl-C into this
        _leave("interrupted; the same command goes on where it was, `sdcda train` with --resume", 130)
    sys.exit(code if isinstance(code, int) else 0)


def _say(text: str) -> None:
    if is_first():
        typer.echo(text)


def _leave(message: str, code: int) -> None:
    if not is_first():  # most errors befall all processes: the first says it, and torchrun or srun ends the others
        time.sleep(GRACE)
    typer.echo("sdcda: " + " ".join(message.split()), err=True)
    sys.exit(code)
