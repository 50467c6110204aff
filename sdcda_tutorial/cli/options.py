"""The options that commands share, and what stands behind a word such as `gcc:ROOT` or `384x576`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sdcda_tutorial.errors import InputError

if TYPE_CHECKING:  # torch takes seconds to import: what needs it is imported when it is asked for
    from sdcda_tutorial.datasets import CrowdDataset
    from sdcda_tutorial.experiments.presets import Preset
    from sdcda_tutorial.training import AdaptationConfig, Hardware

Source = Annotated[str, typer.Option(help="labelled data set, name:root, such as gcc:ROOT; mini needs no root")]
Target = Annotated[str, typer.Option(help="data set to adapt to, such as shanghaitech-b:ROOT or images:ROOT")]
Measured = Annotated[str, typer.Option(help="labelled data set to measure on, such as shanghaitech-b:ROOT")]
Boxes = Annotated[str | None, typer.Option(help="data set with boxes for the mask model, such as crowdhuman:ROOT")]
Segmenter = Annotated[Path | None, typer.Option(help="checkpoint of a mask model that is ready")]
SizeOption = Annotated[
    str | None,
    typer.Option(
        help="resize every image to HEIGHTxWIDTH, such as 384x576, or shrink it to one number for the longer side, "
        "such as 576; 'stored' leaves even UCF-QNRF's as they are"
    ),
]
Scenes = Annotated[
    str | None, typer.Option(help="only scenes of GCC that Scene Regularization admits for a target: shb, sha or qnrf")
]
Counter = Annotated[str, typer.Option(help="paper, authors (their later code's kernels), or sfcn, that of [16]")]
PresetOption = Annotated[str, typer.Option(help="mini or photos (a laptop), or paper (a GPU)")]
Weights = Annotated[Path | None, typer.Option(help="file with torchvision's VGG16-BN weights")]
RandomWeights = Annotated[bool, typer.Option(help="begin with random weights, not ImageNet's")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="decides everything that is random")]
Precision = Annotated[str, typer.Option(help="auto, 32-true, bf16-mixed or 16-mixed")]
Devices = Annotated[int, typer.Option(min=1, help="processes on a machine, one a GPU, that share each batch")]
Nodes = Annotated[int, typer.Option(min=1, help="machines; the same command is started on each")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="processes that prepare batches; by default none on a CPU, a few beside a GPU")
]
Accumulate = Annotated[
    int, typer.Option(min=1, help="pass a batch in so many micro-batches: less memory; batch norm sees one at a time")
]
CheckpointActivations = Annotated[
    bool, typer.Option("--checkpoint-activations", help="compute activations of E twice: less memory, same result")
]
Compile = Annotated[bool, typer.Option("--compile", help="let torch.compile fuse the networks")]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="log for TensorBoard too (pip install tensorboard)")]


def find_preset(name: str, random_weights: bool) -> Preset:
    """The preset of that name, without ImageNet's weights if random ones are asked for."""
    from sdcda_tutorial.experiments.presets import PRESETS

    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}; known are {', '.join(PRESETS)}")
    preset = PRESETS[name]
    segmenter = replace(preset.segmenter, pretrained=preset.segmenter.pretrained and not random_weights)
    adaptation = replace(preset.adaptation, pretrained=preset.adaptation.pretrained and not random_weights)
    return replace(preset, segmenter=segmenter, adaptation=adaptation)


def scale_range(text: str) -> tuple[float, float]:
    """LOW,HIGH as two numbers."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not 0 < low <= high < float("inf"):
        raise InputError(f"--scale is LOW,HIGH, such as 0.5,1.5, not {text!r}")
    return low, high


def change_masks(
    settings: Preset,
    threshold: float | None,
    scale: str | None,
    steps: int | None,
    segmenter: Path | None,
    boxes: str | None,
) -> Preset:
    """The preset with the options of `sdcda masks`; an InputError for one that a ready mask model makes useless."""
    useless = {"--boxes": boxes, "--steps": steps, "--scale": scale}
    given = [name for name, value in useless.items() if value is not None]
    if segmenter is not None and given:
        raise InputError(f"{given[0]} is of a training, but the mask model of --segmenter is ready; drop one of them")
    model = settings.segmenter
    model = replace(
        model,
        threshold=model.threshold if threshold is None else threshold,
        augmentation=model.augmentation if scale is None else replace(model.augmentation, scale=scale_range(scale)),
        steps=model.steps if steps is None else steps,
    )
    return replace(settings, segmenter=model)


def change_adaptation(
    settings: Preset,
    method: str,
    steps: int | None,
    warm_steps: int | None,
    batch_size: int | None,
    lambdas: dict[str, tuple[str, float | None]],
) -> Preset:
    """The preset with the options of `sdcda train`; an InputError for one that would change nothing.

    Args:
        lambdas: option -> the weight's name in `LossWeights`, and the value that was given.
    """
    adaptation = replace(
        settings.adaptation,
        steps=settings.adaptation.steps if steps is None else steps,
        batch_size=settings.adaptation.batch_size if batch_size is None else batch_size,
    )
    given = {option: (name, value) for option, (name, value) in lambdas.items() if value is not None}
    try:
        adaptation = replace(adaptation, weights=replace(adaptation.weights, **dict(given.values())))
    except ValueError as error:
        raise InputError(f"wrong λ: {error}") from None
    warm_start = settings.warm_start
    if warm_steps and warm_start is None:
        raise InputError("--warm-steps: this preset has no warm start; drop the option")
    if warm_steps is not None and warm_start is not None:
        warm_start = replace(warm_start, steps=warm_steps) if warm_steps else None
    if batch_size is not None and warm_start is not None:
        warm_start = replace(warm_start, batch_size=batch_size)
    settings = replace(settings, adaptation=adaptation, warm_start=warm_start)
    used = settings.method(method).weights
    for option, (name, value) in given.items():
        if getattr(used, name) != value:
            raise InputError(f"{option}: the method {method} switches this λ off; drop the option or choose another")
    return settings


def change_translation(settings: Preset, method: str, steps: int | None) -> Preset:
    """The preset with so many steps of CycleGAN; an InputError where the method has none."""
    from sdcda_tutorial.rivals.translation import TRANSLATIONS

    if steps is None:
        return settings
    if method not in TRANSLATIONS:
        raise InputError(f"--translation-steps: the method {method} translates nothing; drop the option")
    return replace(settings, translation=replace(settings.translation, steps=steps))


def refuse_useless_masks(
    config: AdaptationConfig, masks: Path | None, segmenter: Path | None, boxes: str | None
) -> None:
    """Raise where pseudo-masks are given that nothing asks for, or in two ways of which one would be ignored."""
    ready = {"--masks": masks, "--segmenter": segmenter}
    given = [name for name, value in ready.items() if value is not None]
    if given and not config.weights.needs_pseudo_masks:
        raise InputError(f"{given[0]}: λt is 0 here, so no pseudo-masks are needed; drop the option")
    given += ["--boxes"] if boxes is not None else []
    if len(given) > 1 and config.weights.needs_pseudo_masks:
        raise InputError(f"{given[0]} makes {given[1]} useless; drop one of them")


def refuse_other_seed_in_default_folder(root: Path, seed: int) -> None:
    """Raise before another world lies where plain `mini` looks for that of seed 0 and would draw it anew."""
    from sdcda_tutorial.datasets import MINI_ROOT

    if seed != 0 and root.resolve() == MINI_ROOT.resolve():
        raise InputError(f"{MINI_ROOT} is the world of seed 0; give another --root and name it mini-target:ROOT")


def choose_hardware(precision: str, **options: Any) -> Hardware:
    """Where to train, once the words are known to mean something; `options` are other fields of `Hardware`."""
    from sdcda_tutorial.training import Hardware

    if precision not in ("auto", "32-true", "bf16-mixed", "16-mixed"):
        raise InputError(f"precision is auto, 32-true, bf16-mixed or 16-mixed, not {precision!r}")
    return Hardware(precision=precision, **options)


def open_data(spec: str, role: str, split: str, size: str | None, scenes: str | None = None) -> CrowdDataset:
    """Open a data set; plain `mini` stands for the mini world's part of that role, made when it is not there yet."""
    from sdcda_tutorial.datasets import DATASET_NAMES, MINI_ROOT, ImageFolder, open_dataset

    options: dict[str, Any] = {}
    if size == "stored":
        options["max_side"] = None
    elif size is not None:
        sides = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", size)
        if sides is None or 0 in (pixels := [int(side) for side in sides.groups() if side]):
            raise InputError(
                f"--size is HEIGHTxWIDTH in pixels, as 384x576, the longer side, as 576, or stored, not {size!r}"
            )
        options.update({"max_side": pixels[0]} if len(pixels) == 1 else {"size": tuple(pixels)})
    if spec == "mini":
        from sdcda_tutorial.mini_world import ensure_mini_world

        ensure_mini_world(MINI_ROOT)
        spec = f"mini-{role}"
    name, _, root = spec.partition(":")
    if name == "mini":
        raise InputError(f"{spec!r}: plain mini takes no folder; write mini-{role}:{root or 'ROOT'}")
    if name not in DATASET_NAMES:
        raise InputError(f"unknown data set {name!r} in {spec!r}; known are {', '.join(DATASET_NAMES)}, mini")
    if scenes is not None:
        if name not in ("gcc", "mini-source"):
            raise InputError(f"--scenes chooses among the scenes of GCC, and {spec} is none; drop the option")
        options["rule"] = scenes
    dataset = open_dataset(spec, split, **options).cache_if_small()
    if role != "target" and isinstance(dataset, ImageFolder):
        raise InputError(f"{spec} has no labels to learn from; unlabelled photographs can be a --target only")
    return dataset


def open_boxes(spec: str | None, target: str, size: str | None) -> CrowdDataset | None:
    """Data for the mask model: what was named, or the mini world's own beside the mini target."""
    if spec is None:
        return open_data("mini", "third", "train", None) if target == "mini" else None
    return open_data(spec, "third", "train", None if spec.startswith("mini") else size)
