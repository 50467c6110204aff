"""`sdcda train`: one method, from data to a trained counter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdcda_tutorial.cli import options
from sdcda_tutorial.cli.messages import say, tell_of, translate
from sdcda_tutorial.errors import InputError

if TYPE_CHECKING:
    from sdcda_tutorial.datasets import CrowdDataset
    from sdcda_tutorial.experiments.presets import Preset
    from sdcda_tutorial.training import AdaptationConfig

Method = Annotated[str, typer.Option(help="noadapt, se, fd, se+fd, cyclegan or se-cyclegan")]
Counter = Annotated[str, typer.Option(help="paper, authors (their later code's kernels), or sfcn, that of [16]")]
Scenes = Annotated[
    str | None, typer.Option(help="only scenes of GCC that Scene Regularization admits for a target: shb, sha or qnrf")
]
Masks = Annotated[Path | None, typer.Option(help="folder of pseudo-masks that `sdcda masks` wrote")]
Out = Annotated[Path, typer.Option(help="folder; methods in one folder share what they can")]
Steps = Annotated[int | None, typer.Option(min=1, help="steps of the adaptation, not the preset's")]
WarmSteps = Annotated[int | None, typer.Option(min=0, help="steps of the warm start; 0 for none")]
TranslationSteps = Annotated[int | None, typer.Option(min=1, help="steps of (SE) CycleGAN")]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="images a step and domain, over all devices; of the warm start too")
]
Keep = Annotated[int, typer.Option(min=0, help="keep the models of the last so many epochs")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="two steps, then what the whole would take; leaves no run behind")
]


def train(
    method: Method = "se+fd",
    counter: Counter = "paper",
    source: options.Source = "mini",
    scenes: Scenes = None,
    target: options.Target = "mini",
    boxes: options.Boxes = None,
    masks: Masks = None,
    segmenter: options.Segmenter = None,
    out: Out = Path("runs/mini"),
    preset: options.PresetName = "mini",
    resume: Annotated[bool, typer.Option(help="go on with an interrupted run")] = False,
    steps: Steps = None,
    warm_steps: WarmSteps = None,
    translation_steps: TranslationSteps = None,
    batch_size: BatchSize = None,
    lambda_s: Annotated[float | None, typer.Option(help="weight of Eq. 7; a warm start keeps its own")] = None,
    lambda_t: Annotated[float | None, typer.Option(help="weight of Eq. 9")] = None,
    lambda_d: Annotated[float | None, typer.Option(help="weight of Eq. 10")] = None,
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
    keep: Keep = 0,
    tensorboard: options.TensorBoard = False,
    dry_run: DryRun = False,
) -> None:
    """Train a counter on the source and adapt it to the target; or on a source translated into the target's style."""
    from sdcda_tutorial.experiments.dry_run import dry_run as rehearse
    from sdcda_tutorial.experiments.pipeline import Experiment
    from sdcda_tutorial.training import Records

    settings = options.find_preset(preset, random_weights, weights).counter(counter)
    hardware = options.choose_hardware(
        precision, devices=devices, nodes=nodes, workers=workers, accumulate=accumulate, compile=compile,
        checkpoint_activations=checkpoint_activations,
    )  # fmt: skip
    settings = _change_lengths(settings, method, warm_steps, translation_steps, steps=steps, batch_size=batch_size)
    settings = _change_lambdas(settings, method, lambda_s=lambda_s, lambda_t=lambda_t, lambda_d=lambda_d)
    config = settings.method(method)
    own_masks = _needs_own_masks(config, masks, segmenter, boxes)
    experiment = Experiment(
        out, settings, segmenter=segmenter and options.find_model(segmenter), vgg_weights=weights, seed=seed,
        masks=masks, source=options.open_data(source, "source", "train", size, scenes),
        target=_open_target(config, method, target, size), records=Records(keep, tensorboard),
        boxes=options.open_boxes(boxes, target, size, preset) if own_masks else None, hardware=hardware,
    )  # fmt: skip
    experiment.check(method, config, resume=resume)
    tell_of({"source": experiment.source, "boxes": experiment.boxes, "target": experiment.target})
    if dry_run:
        say(translate(hardware.run(rehearse, experiment, method, resume=resume)))
    else:
        say(f"the model is {hardware.run(experiment.train, method, resume=resume)}")


def _change_lengths(
    settings: Preset, method: str, warm: int | None, translation: int | None, **lengths: int | None
) -> Preset:
    """The preset with other numbers of steps and images; an InputError for one that would change nothing."""
    from sdcda_tutorial.rivals.translation import TRANSLATIONS

    warm_start = settings.warm_start
    if warm and warm_start is None:
        raise InputError("--warm-steps: this preset has no warm start; drop the option")
    if translation is not None and method not in TRANSLATIONS:
        raise InputError(f"--translation-steps: the method {method} translates nothing; drop the option")
    if warm_start is not None:
        changes = options.given(steps=warm, batch_size=lengths["batch_size"])
        warm_start = None if warm == 0 else replace(warm_start, **changes)
    translated = replace(settings.translation, **options.given(steps=translation))
    adaptation = replace(settings.adaptation, **options.given(**lengths))
    return replace(settings, warm_start=warm_start, adaptation=adaptation, translation=translated)


def _change_lambdas(settings: Preset, method: str, **lambdas: float | None) -> Preset:
    """The preset with other λ; an InputError for one that the method switches off."""
    from sdcda_tutorial.experiments.presets import LAMBDAS

    given = options.given(**lambdas)
    adaptation = settings.adaptation
    try:
        weights = replace(adaptation.weights, **{LAMBDAS[name]: value for name, value in given.items()})
    except ValueError as error:
        raise InputError(f"wrong λ: {error}") from None
    settings = replace(settings, adaptation=replace(adaptation, weights=weights))
    used = settings.method(method).weights
    for name, value in given.items():
        if getattr(used, LAMBDAS[name]) != value:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option}: the method {method} switches this λ off; drop the option or choose another")
    return settings


def _needs_own_masks(config: AdaptationConfig, masks: Path | None, segmenter: Path | None, boxes: str | None) -> bool:
    """Whether a mask model is to be trained; an InputError for masks that nothing needs, or given in two ways."""
    ways = [f"--{name}" for name in options.given(masks=masks, segmenter=segmenter, boxes=boxes)]
    ready = masks is not None or segmenter is not None
    if not config.weights.needs_pseudo_masks:
        if ready:
            raise InputError(f"{ways[0]}: λt is 0 here, so no pseudo-masks are needed; drop the option")
        return False
    if len(ways) > 1:
        raise InputError(f"{ways[0]} makes {ways[1]} useless; drop one of them")
    return not ready


def _open_target(config: AdaptationConfig, method: str, spec: str, size: str | None) -> CrowdDataset | None:
    """The target where the method needs it."""
    from sdcda_tutorial.rivals.translation import TRANSLATIONS

    needed = config.needs_target or method in TRANSLATIONS
    return options.open_data(spec, "target", "train", size) if needed else None
