"""`sdcda masks`: train the mask model, write pseudo-masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdcda_tutorial.cli import options
from sdcda_tutorial.cli.messages import say, tell_of
from sdcda_tutorial.errors import InputError

if TYPE_CHECKING:
    from sdcda_tutorial.experiments.presets import Preset


def masks(
    target: options.Target = "mini",
    boxes: options.Boxes = None,
    out: Annotated[Path, typer.Option(help="folder for the mask model and the masks")] = Path("runs/mini"),
    preset: options.PresetName = "mini",
    segmenter: options.Segmenter = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="probability above it is crowd")] = None,
    scale: Annotated[str | None, typer.Option(help="LOW,HIGH: resizes people to the size in the target")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="steps of training, not the preset's")] = None,
    size: options.Size = None,
    weights: options.Weights = None,
    random_weights: options.RandomWeights = False,
    seed: options.Seed = 0,
    precision: options.Precision = "auto",
    devices: options.Devices = 1,
    nodes: options.Nodes = 1,
    workers: options.Workers = None,
    accumulate: options.Accumulate = 1,
    checkpoint_activations: options.CheckpointActivations = False,
    compile: options.Compile = False,
    tensorboard: options.TensorBoard = False,
) -> None:
    """Train the mask model on boxes and write the pseudo-masks of the target."""
    from sdcda_tutorial.experiments.pipeline import Experiment
    from sdcda_tutorial.training import Records

    settings, records = options.find_preset(preset, random_weights, weights), Records(tensorboard=tensorboard)
    hardware = options.choose_hardware(
        precision, devices=devices, nodes=nodes, workers=workers, accumulate=accumulate, compile=compile,
        checkpoint_activations=checkpoint_activations,
    )  # fmt: skip
    useless = [] if segmenter is None else list(options.given(boxes=boxes, steps=steps, scale=scale, weights=weights))
    if useless:
        raise InputError(
            f"--{useless[0]} is of a training, but the mask model of --segmenter is ready; drop one of them"
        )
    segmenter = segmenter and options.find_model(segmenter)
    data = options.open_data(target, "target", "train", size)
    experiment = Experiment(
        out, _change(settings, threshold, scale, steps), source=data, target=data,
        boxes=None if segmenter else options.open_boxes(boxes, target, size, preset),
        segmenter=segmenter, vgg_weights=weights, seed=seed, hardware=hardware, records=records,
    )  # fmt: skip
    experiment.check_mask_model()
    tell_of({"boxes": experiment.boxes, "target": data})
    say(f"the pseudo-masks are in {hardware.run(experiment.pseudo_masks)}")


def _change(settings: Preset, threshold: float | None, scale: str | None, steps: int | None) -> Preset:
    """The preset with the options of this command."""
    model = replace(settings.segmenter, **options.given(threshold=threshold, steps=steps))
    if scale is not None:
        model = replace(model, augmentation=replace(model.augmentation, scale=_scale_range(scale)))
    return replace(settings, segmenter=model)


def _scale_range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not 0 < low <= high < float("inf"):
        raise InputError(f"--scale is LOW,HIGH, such as 0.5,1.5, not {text!r}")
    return low, high
