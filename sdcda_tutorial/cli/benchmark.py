"""The commands that train and measure by themselves: `sdcda benchmark` and `sdcda demo`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdcda_tutorial.cli import options
from sdcda_tutorial.cli.messages import tell_of
from sdcda_tutorial.errors import InputError

if TYPE_CHECKING:
    from sdcda_tutorial.experiments.benchmark import SeedData
    from sdcda_tutorial.experiments.presets import Preset

Seeds = Annotated[
    str, typer.Option(help="numbers with commas; each is a new training, on the mini world in a new world")
]
Methods = Annotated[
    str,
    typer.Option(
        help="names with commas, also with a setting changed (se@masks=perfect, se+fd@lambda_d=1e-4); or a group: "
        "ablation (the paper's and controls), table-1 (its rows), masks, readings (and D's place), lambdas, all"
    ),
]
Out = Annotated[Path, typer.Option(help="folder; what is done stays done; results.json covers the seeds of this call")]
Keep = Annotated[Path | None, typer.Option(help="also copy the first seed's models here, in half precision")]
AtOnce = Annotated[
    int,
    typer.Option(
        help="seeds to train at the same time, each with its share of the threads; of several GPUs each gets one"
    ),
]


def benchmark(
    seeds: Seeds = "21,22,23,24,25",
    methods: Methods = "ablation",
    out: Out = Path("build/benchmark"),
    keep: Keep = None,
    source: options.Source = "mini",
    target: options.Target = "mini",
    boxes: options.Boxes = None,
    preset: options.PresetName = "mini",
    at_once: AtOnce = 1,
    size: options.Size = None,
    weights: options.Weights = None,
    random_weights: options.RandomWeights = False,
) -> None:
    """Methods × seeds: train, evaluate, table with the spread. Resumes after an interruption.

    On the mini world each seed draws a world of its own; on other data a seed is a training.
    """
    from sdcda_tutorial.experiments.benchmark import Benchmark
    from sdcda_tutorial.experiments.benchmark_rows import EARLY, needs_pseudo_masks
    from sdcda_tutorial.experiments.tables import difference_table, spread_table
    from sdcda_tutorial.files import require_writable
    from sdcda_tutorial.guards.locks import one_writer
    from sdcda_tutorial.places import MINI_WORLD

    numbers = _numbers(seeds)
    if at_once < 1:
        raise InputError(f"--at-once is a number of seeds from 1 up, not {at_once}")
    settings = options.find_preset(preset, random_weights, weights)
    names = _rows(methods, settings, preset)
    chosen = list(names)
    if EARLY in chosen and settings.warm_start is None:
        raise InputError(
            f"the preset {preset} has no warm start, so there is no {EARLY}; name the --methods without it"
        )
    for folder in (out, keep) if keep is not None else (out,):
        require_writable(folder)
    data = _data(source, target, boxes, size)
    options.labelled_part(target, "test", typer.echo)
    asked = Benchmark(chosen, settings, out, data, weights)
    with one_writer(out):
        asked.refuse_other_files(keep, numbers[0])
        if data is not None and (boxes is not None or any(needs_pseudo_masks(name, settings) for name in chosen)):
            data = replace(data, boxes=options.open_boxes(boxes, target, size, preset))
            asked = replace(asked, data=data)
        if data is not None:
            tell_of({"source": data.source, "boxes": data.boxes, "target": data.target, "test": data.tests["target"]})
        found = asked.run(numbers, at_once=at_once, say=typer.echo)
        asked.save_pictures(found)
    if keep is not None:
        about = MINI_WORLD if data is None else f"{source.partition(':')[0]} to {target.partition(':')[0]}"
        asked.export_models(numbers[0], keep, about)
    typer.echo(spread_table(found, names))
    if found["differences"]:
        typer.echo("\n" + difference_table(found, names))
    files = "results.json, cells.jsonl (how each run was made), mae.png, crowd_size.png, background_and_crowd.png"
    typer.echo(f"\n{files} and panel.png are in {out}")


def _rows(methods: str, settings: Preset, preset: str) -> dict[str, str]:
    """The methods asked for and their titles; of a group those that change something in this preset."""
    from sdcda_tutorial.experiments.benchmark_rows import GROUPS, changes_nothing, parse, titles
    from sdcda_tutorial.experiments.presets import split_run_name

    if methods in GROUPS:
        return titles([name for name in GROUPS[methods] if not changes_nothing(name, settings)])
    names = titles(list(dict.fromkeys(name.strip() for name in methods.split(","))))
    known: dict[object, str] = {}
    for name in names:
        counter, method = split_run_name(name)
        if (same := known.setdefault((counter, repr(parse(method))), name)) != name:
            raise InputError(f"{name!r} is {same!r} again; name it once")
    for name in names:
        if changes_nothing(name, settings):
            method = name.partition("@")[0]
            raise InputError(f"{name!r} changes nothing: the preset {preset} has this value; name {method}")
    return names


def _numbers(seeds: str) -> list[int]:
    if not re.fullmatch(r"\s*\d{1,9}\s*(,\s*\d{1,9}\s*)*", seeds):
        raise InputError(f"seeds are whole numbers from 0 up with commas, not {seeds!r}")
    return list(dict.fromkeys(int(seed) for seed in seeds.split(",")))


def _data(source: str, target: str, boxes: str | None, size: str | None) -> SeedData | None:
    """The data that was named, without the boxes; None for the mini worlds, of which each seed draws its own."""
    from sdcda_tutorial.experiments.benchmark import SeedData

    if (source == "mini") != (target == "mini"):
        raise InputError("each seed draws a mini world of its own, both data; give --source and --target, or neither")
    if source == "mini":
        if boxes is not None or size is not None:
            raise InputError("--boxes and --size are for data of your own; name it with --source and --target")
        return None
    return SeedData(
        source=options.open_data(source, "source", "train", size),
        target=options.open_data(target, "target", "train", size),
        boxes=None,
        tests={"target": options.open_data(target, "target", "test", size)},
    )


def demo(
    out: Annotated[Path, typer.Option(help="folder for runs and results")] = Path("build/demo"),
    seed: options.Seed = 0,
) -> None:
    """The paper's claim in minutes: without and with adaptation on the mini world, by stored counters, then trained."""
    from sdcda_tutorial.experiments.demo import run_demo

    if seed == 0:
        options.announced_mini_root()
    run_demo(seed, out, say=typer.echo)
