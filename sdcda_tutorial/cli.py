"""The command line, `sdcda`. Data sets are named `name:root`; errors are one line and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sdcda_tutorial.errors import InputError, TrainingStopped

if TYPE_CHECKING:  # torch takes seconds to import: commands import what they need when they run
    from sdcda_tutorial.datasets import CrowdDataset
    from sdcda_tutorial.evaluation import Results
    from sdcda_tutorial.training import Hardware, Preset

app = typer.Typer(
    help="Semantic consistency for cross-domain crowd counting: the mini world, the training, the evaluation.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Data sets: make the mini world.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Source = Annotated[str, typer.Option(help="labelled data set, name:root, such as gcc:ROOT; mini needs no root")]
Target = Annotated[str, typer.Option(help="data set to adapt to, such as shanghaitech-b:ROOT or images:ROOT")]
Boxes = Annotated[str | None, typer.Option(help="data set with boxes for the mask model, such as crowdhuman:ROOT")]
SizeOption = Annotated[str | None, typer.Option(help="resize every image to HEIGHTxWIDTH, such as 384x576")]
PresetOption = Annotated[str, typer.Option(help="mini (a laptop) or paper (a GPU)")]
Seed = Annotated[int, typer.Option(help="decides everything that is random")]
Precision = Annotated[str, typer.Option(help="auto, 32-true, bf16-mixed or 16-mixed")]
Devices = Annotated[int, typer.Option(help="processes, one a device")]
Checkpoint = Annotated[list[Path], typer.Option(help="model.safetensors of a run; give several to compare them")]


@app.command()
def doctor() -> None:
    """Check Python, the packages, the device and the data; say what to do where something is missing."""
    from sdcda_tutorial.doctor import examine

    checks = examine()
    for check in checks:
        typer.echo(f"[{' OK ' if check.ok else 'FAIL'}] {check.text}" + ("" if check.ok else f" -> {check.mend}"))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@data_app.command("mini")
def data_mini(
    root: Annotated[Path, typer.Option(help="where to write it")] = Path("data/mini"),
    seed: Annotated[int, typer.Option(help="another seed draws another world")] = 0,
) -> None:
    """Draw the mini world: three small domains in the native formats of GCC, ShanghaiTech and CrowdHuman."""
    from sdcda_tutorial.scenes import ensure_mini_world

    typer.echo(f"the mini world is in {ensure_mini_world(root, seed=seed)}")


@app.command()
def masks(
    target: Target = "mini",
    boxes: Boxes = None,
    out: Annotated[Path, typer.Option(help="folder for the mask model and the masks")] = Path("runs/mini"),
    preset: PresetOption = "mini",
    segmenter: Annotated[Path | None, typer.Option(help="checkpoint of a mask model that is ready")] = None,
    threshold: Annotated[float | None, typer.Option(help="crowd where the probability is above this")] = None,
    size: SizeOption = None,
    weights: Annotated[Path | None, typer.Option(help="file with torchvision's VGG16-BN weights")] = None,
    random_weights: Annotated[bool, typer.Option(help="begin with random weights")] = False,
    seed: Seed = 0,
    precision: Precision = "auto",
    devices: Devices = 1,
) -> None:
    """Train the mask model on boxes and write the pseudo-masks of the target."""
    from sdcda_tutorial.training.experiment import Experiment

    settings = _preset(preset, random_weights)
    if threshold is not None:
        settings = replace(settings, segmenter=replace(settings.segmenter, threshold=threshold))
    target_data = _open(target, "target", "train", size)
    experiment = Experiment(
        out, settings, source=target_data, target=target_data, boxes=_boxes(boxes, target, size), segmenter=segmenter,
        vgg_weights=weights, seed=seed, hardware=_hardware(precision, devices),
    )  # fmt: skip
    typer.echo(f"the pseudo-masks are in {experiment.pseudo_masks()}")


@app.command()
def train(
    method: Annotated[str, typer.Option(help="noadapt, se, fd or se+fd")] = "se+fd",
    source: Source = "mini",
    target: Target = "mini",
    boxes: Boxes = None,
    masks: Annotated[Path | None, typer.Option(help="folder of pseudo-masks that `sdcda masks` wrote")] = None,
    segmenter: Annotated[Path | None, typer.Option(help="checkpoint of a mask model that is ready")] = None,
    out: Annotated[
        Path, typer.Option(help="folder of the experiment; methods in one folder share what they can")
    ] = Path("runs/mini"),
    preset: PresetOption = "mini",
    resume: Annotated[bool, typer.Option(help="go on with an interrupted run")] = False,
    steps: Annotated[int | None, typer.Option(help="steps of the adaptation, instead of the preset's")] = None,
    warm_steps: Annotated[int | None, typer.Option(help="steps of the warm start; 0 for none")] = None,
    batch_size: Annotated[int | None, typer.Option(help="images a step and domain")] = None,
    lambda_s: Annotated[float | None, typer.Option(help="weight of Eq. 7")] = None,
    lambda_t: Annotated[float | None, typer.Option(help="weight of Eq. 9")] = None,
    lambda_d: Annotated[float | None, typer.Option(help="weight of Eq. 10")] = None,
    size: SizeOption = None,
    weights: Annotated[Path | None, typer.Option(help="file with torchvision's VGG16-BN weights")] = None,
    random_weights: Annotated[bool, typer.Option(help="begin with random weights, not ImageNet's")] = False,
    seed: Seed = 0,
    precision: Precision = "auto",
    devices: Devices = 1,
) -> None:
    """Train a counter on the source and adapt it to the target."""
    from sdcda_tutorial.training.experiment import Experiment

    settings = _preset(preset, random_weights)
    adaptation = replace(
        settings.adaptation,
        steps=settings.adaptation.steps if steps is None else steps,
        batch_size=settings.adaptation.batch_size if batch_size is None else batch_size,
    )
    lambdas = {"seg_source": lambda_s, "seg_target": lambda_t, "adversarial": lambda_d}
    given = {key: value for key, value in lambdas.items() if value is not None}
    try:
        adaptation = replace(adaptation, weights=replace(adaptation.weights, **given))
    except ValueError as error:
        raise InputError(f"wrong λ: {error}") from None
    warm_start = settings.warm_start
    if warm_steps is not None and warm_start is not None:
        warm_start = replace(warm_start, steps=warm_steps) if warm_steps else None
    settings = replace(settings, adaptation=adaptation, warm_start=warm_start)
    config = settings.method(method)
    experiment = Experiment(
        out,
        settings,
        source=_open(source, "source", "train", size),
        target=_open(target, "target", "train", size) if config.needs_target else None,
        boxes=_boxes(boxes, target, size) if config.weights.seg_target > 0 and not (masks or segmenter) else None,
        masks=masks,
        segmenter=segmenter,
        vgg_weights=weights,
        seed=seed,
        hardware=_hardware(precision, devices),
    )
    typer.echo(f"the model is {experiment.train(method, resume=resume)}")


@app.command()
def evaluate(
    checkpoint: Checkpoint,
    target: Target = "mini",
    split: Annotated[str, typer.Option(help="part of the data set")] = "test",
    out: Annotated[Path, typer.Option(help="folder for the rows (JSON, CSV) and the Fig. 2 panel")] = Path(
        "build/evaluation"
    ),
    size: SizeOption = None,
    variant: Annotated[str, typer.Option(help="of PSNR and SSIM: standard or authors")] = "standard",
) -> None:
    """Count the people of a labelled set: MAE, MSE, PSNR, SSIM, where the error lies, and a Fig. 2 panel."""
    from sdcda_tutorial import report
    from sdcda_tutorial.evaluation import evaluate as run
    from sdcda_tutorial.training.batches import DensityKernel
    from sdcda_tutorial.training.checkpoints import load_counter

    if variant not in ("standard", "authors"):
        raise InputError(f"variant is standard or authors, not {variant!r}")
    dataset = _open(target, "target", split, size)
    results: dict[str, Results] = {}
    counters, kernel = {}, DensityKernel()
    for path in checkpoint:
        counter, card = load_counter(path)
        title = _title(path, results)
        kernel = DensityKernel(**card["config"]["kernel"])
        about = {
            "checkpoint": path.name,
            "title": title,
            "data": dataset.name,
            "split": split,
            "chosen": card["chosen"],
        }
        results[title] = run(counter, dataset, kernel=kernel, variant=variant, about=about)  # type: ignore[arg-type]
        counters[title] = counter
        results[title].to_json(out / f"{title}.json")
        results[title].to_csv(out / f"{title}.csv")
    report.save_panel(out / "panel.png", dataset, results, counters, kernel)
    typer.echo(report.table(results))
    typer.echo(f"rows and panel are in {out}")


@app.command()
def predict(
    photo: Annotated[list[Path], typer.Argument(help="photographs")],
    checkpoint: Annotated[Path, typer.Option(help="model.safetensors of a run")],
    out: Annotated[Path, typer.Option(help="folder for the overlays")] = Path("build/predictions"),
    max_side: Annotated[int | None, typer.Option(help="shrink larger photographs to this many pixels")] = None,
) -> None:
    """Count the people of any photograph and lay the density over it."""
    from sdcda_tutorial import plotting
    from sdcda_tutorial.datasets.images import read_image
    from sdcda_tutorial.datasets.transforms import resize_image
    from sdcda_tutorial.evaluation import predict_density
    from sdcda_tutorial.training.checkpoints import load_counter

    counter, _ = load_counter(checkpoint)
    images = {path: read_image(path, upright=True) for path in photo}  # all readable before anything is written
    for path, image in images.items():
        scale = 1.0 if max_side is None else min(1.0, max_side / max(image.shape[:2]))
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        image = resize_image(image, (height, width))
        density = predict_density(counter, image)
        overlay = out / f"{path.stem}.png"
        count = f"{float(density.sum()):.1f}"
        plotting.save(
            plotting.overlay(image, density), overlay, f"{path.name} with the predicted density: {count} people"
        )
        typer.echo(f"{path}: {count} people, {overlay}")


@app.command()
def benchmark(
    seeds: Annotated[str, typer.Option(help="numbers with commas; each is a new world and a new training")] = "1,2,3",
    methods: Annotated[str, typer.Option(help="names with commas, or all")] = "all",
    out: Annotated[Path, typer.Option(help="folder; what is done in there is not done again")] = Path(
        "build/benchmark"
    ),
) -> None:
    """Methods × seeds on the mini world: train, evaluate, table with the spread. Resumes after an interruption."""
    from sdcda_tutorial import report
    from sdcda_tutorial.benchmark import METHOD_TITLES, run_benchmark
    from sdcda_tutorial.training import MINI

    chosen = list(METHOD_TITLES) if methods == "all" else methods.split(",")
    unknown = [name for name in chosen if name not in METHOD_TITLES]
    if unknown:
        raise InputError(f"unknown method {unknown[0]!r}; known are {', '.join(METHOD_TITLES)}")
    try:
        numbers = [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise InputError(f"seeds are whole numbers with commas, not {seeds!r}") from None
    found = run_benchmark(numbers, chosen, MINI, out, say=typer.echo)
    typer.echo(report.spread_table(found, METHOD_TITLES))
    typer.echo(f"everything is in {out / 'results.json'}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="folder for data, runs and results")] = Path("build/demo"),
    seed: Seed = 0,
) -> None:
    """The paper's claim in minutes: train without and with adaptation on the mini world, compare on its target."""
    from sdcda_tutorial import report
    from sdcda_tutorial.benchmark import run_demo

    report.save_demo(out, run_demo(seed, out, say=typer.echo), say=typer.echo)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors are one line on stderr, exit code 2 for bad input and 1 for a failed training."""
    try:
        code = app(args=None if arguments is None else list(arguments), prog_name="sdcda", standalone_mode=False)
    except InputError as error:
        _leave(str(error), 2)
    except TrainingStopped as error:
        _leave(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        _leave("interrupted; the same command with --resume goes on", 130)
    except Exception as error:
        # typer's own usage errors, whichever class its version gives them: they can format themselves.
        if not hasattr(error, "format_message"):
            raise
        _leave(f"{error.format_message()} (see sdcda --help)", 2)
    sys.exit(code if isinstance(code, int) else 0)


def _leave(message: str, code: int) -> None:
    typer.echo("sdcda: " + " ".join(message.split()), err=True)
    sys.exit(code)


def _preset(name: str, random_weights: bool) -> Preset:
    from sdcda_tutorial.training import PRESETS

    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}; known are {', '.join(PRESETS)}")
    preset = PRESETS[name]
    if not random_weights:
        return preset
    return replace(
        preset,
        segmenter=replace(preset.segmenter, pretrained=False),
        adaptation=replace(preset.adaptation, pretrained=False),
    )


def _hardware(precision: str, devices: int) -> Hardware:
    from sdcda_tutorial.training import Hardware

    if precision not in ("auto", "32-true", "bf16-mixed", "16-mixed"):
        raise InputError(f"precision is auto, 32-true, bf16-mixed or 16-mixed, not {precision!r}")
    if devices < 1:
        raise InputError(f"devices is a number from 1 up, not {devices}")
    return Hardware(devices=devices, precision=precision)


def _open(spec: str, role: str, split: str, size: str | None) -> CrowdDataset:
    """Open a data set; plain `mini` stands for the mini world's part of that role, made when it is not there yet."""
    from sdcda_tutorial.datasets import MINI_ROOT, open_dataset

    options: dict[str, Any] = {}
    if size is not None:
        height, separator, width = size.lower().partition("x")
        if not (separator and height.isdigit() and width.isdigit() and int(height) > 0 and int(width) > 0):
            raise InputError(f"--size is HEIGHTxWIDTH in pixels, such as 384x576, not {size!r}")
        options["size"] = int(height), int(width)
    if spec == "mini":
        from sdcda_tutorial.scenes import ensure_mini_world

        ensure_mini_world(MINI_ROOT)
        spec = f"mini-{role}"
    return open_dataset(spec, split, cache=True, **options)


def _boxes(spec: str | None, target: str, size: str | None) -> CrowdDataset | None:
    """Data for the mask model: what was named, or the mini world's own beside the mini target."""
    if spec is None:
        return _open("mini", "third", "train", None) if target == "mini" else None
    return _open(spec, "third", "train", None if spec.startswith("mini") else size)


def _title(path: Path, taken: dict[str, Results]) -> str:
    """A checkpoint is known by its run's folder."""
    title = path.resolve().parent.name or path.stem
    return title if title not in taken else f"{title}-{len(taken) + 1}"
