"""The commands that train and measure by themselves: `sdcda benchmark` and `sdcda demo`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from sdcda_tutorial.cli.options import (
    Boxes,
    PresetOption,
    RandomWeights,
    Seed,
    SizeOption,
    Source,
    Target,
    Weights,
    find_preset,
    open_boxes,
    open_data,
)
from sdcda_tutorial.errors import InputError


def benchmark(
    seeds: Annotated[
        str, typer.Option(help="numbers with commas; each is a new training, on the mini world in a new world")
    ] = "21,22,23,24,25",
    methods: Annotated[
        str,
        typer.Option(
            help="names with commas, also with a setting changed (se@masks=perfect, se+fd@lambda_d=1e-4); or a group: "
            "ablation (the paper's and controls), table-1 (its rows), masks, readings (and D's place), lambdas, all"
        ),
    ] = "ablation",
    out: Annotated[
        Path, typer.Option(help="folder; what is done stays done; results.json covers the seeds of this call")
    ] = Path("build/benchmark"),
    keep: Annotated[Path | None, typer.Option(help="also copy the first seed's models here, in half precision")] = None,
    source: Source = "mini",
    target: Target = "mini",
    boxes: Boxes = None,
    preset: PresetOption = "mini",
    at_once: Annotated[
        int,
        typer.Option(
            help="seeds to train at the same time, each with its share of the threads; of several GPUs each gets one"
        ),
    ] = 1,
    size: SizeOption = None,
    weights: Weights = None,
    random_weights: RandomWeights = False,
) -> None:
    """Methods × seeds: train, evaluate, table with the spread. Resumes after an interruption.

    On the mini world each seed draws a world of its own; on other data a seed is a training.
    """
    from sdcda_tutorial.evaluation import report
    from sdcda_tutorial.experiments.benchmark import SeedData, run_benchmark, save_pictures
    from sdcda_tutorial.experiments.benchmark_rows import EARLY, GROUPS, titles
    from sdcda_tutorial.experiments.model_export import export_models

    chosen = list(dict.fromkeys(GROUPS.get(methods) or (name.strip() for name in methods.split(","))))
    names = titles(chosen)
    if not re.fullmatch(r"\s*\d{1,9}\s*(,\s*\d{1,9}\s*)*", seeds):
        raise InputError(f"seeds are whole numbers from 0 up with commas, not {seeds!r}")
    numbers = list(dict.fromkeys(int(seed) for seed in seeds.split(",")))
    if at_once < 1:
        raise InputError(f"--at-once is a number of seeds from 1 up, not {at_once}")
    settings, data = find_preset(preset, random_weights), None
    if EARLY in chosen and settings.warm_start is None:
        raise InputError(
            f"the preset {preset} has no warm start, so there is no {EARLY}; name the --methods without it"
        )
    if (source == "mini") != (target == "mini"):
        raise InputError(
            "each seed draws a mini world of its own, both domains; give --source and --target, or neither"
        )
    if source != "mini":
        data = SeedData(
            source=open_data(source, "source", "train", size),
            target=open_data(target, "target", "train", size),
            boxes=open_boxes(boxes, target, size),
            tests={"target": open_data(target, "target", "test", size)},
        )
    elif boxes is not None or size is not None:
        raise InputError("--boxes and --size are for data of your own; name it with --source and --target")
    found = run_benchmark(
        numbers, chosen, settings, out, data=data, vgg_weights=weights, at_once=at_once, say=typer.echo
    )
    if keep is not None:
        about = "mini world" if data is None else f"{source.partition(':')[0]} to {target.partition(':')[0]}"
        export_models(out, chosen, numbers[0], keep, about)
    save_pictures(chosen, settings, out, data, found)
    typer.echo(report.spread_table(found, names))
    if found["differences"]:
        typer.echo("\n" + report.difference_table(found, names))
    typer.echo(
        f"\nresults.json, cells.jsonl (how each run was made), mae.png, crowd_size.png, background_and_crowd.png and "
        f"panel.png are in {out}"
    )


def demo(
    out: Annotated[Path, typer.Option(help="folder for runs and results")] = Path("build/demo"),
    seed: Seed = 0,
) -> None:
    """The paper's claim in minutes: train without and with adaptation on the mini world, compare on its target."""
    from sdcda_tutorial.evaluation import report
    from sdcda_tutorial.experiments.benchmark import run_demo

    report.save_demo(out, run_demo(seed, out, say=typer.echo), say=typer.echo)
