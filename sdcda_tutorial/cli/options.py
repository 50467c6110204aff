"""The options that commands share, and what stands behind a word such as `gcc:ROOT` or `384x576`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sdcda_tutorial.cli.messages import is_first_process
from sdcda_tutorial.errors import InputError

if TYPE_CHECKING:  # torch takes seconds to import: what needs it is imported when it is asked for
    from sdcda_tutorial.datasets import CrowdDataset
    from sdcda_tutorial.experiments.presets import Preset
    from sdcda_tutorial.training import Hardware

Source = Annotated[str, typer.Option(help="labelled data set, name:root, such as gcc:ROOT; mini needs no root")]
Target = Annotated[str, typer.Option(help="data set to adapt to, such as shanghaitech-b:ROOT or images:ROOT")]
Boxes = Annotated[
    str | None,
    typer.Option(
        help="data set with boxes for the mask model, such as crowdhuman:ROOT; for a target mini and for the preset "
        "photos it is by default mini, whose people are drawn"
    ),
]
Segmenter = Annotated[
    Path | None, typer.Option(help="checkpoint of a mask model that is ready; `segmenter` is bundled")
]
Size = Annotated[
    str | None,
    typer.Option(
        help="resize every image to HEIGHTxWIDTH, such as 384x576, or shrink it to one number for the longer side, "
        "such as 576; 'stored' leaves even UCF-QNRF's as they are"
    ),
]
PresetName = Annotated[str, typer.Option(help="mini or photos (a laptop), or paper (a GPU)")]
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


def given(**options: Any) -> dict[str, Any]:
    """The options that the user has given, by name: those that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def find_preset(name: str, random_weights: bool, weights: Path | None = None) -> Preset:
    """The preset of that name, without ImageNet's weights if random ones are asked for.

    Raises:
        InputError: there is none, or a file of `weights` is given where everything starts from random ones.
    """
    from sdcda_tutorial.experiments.presets import PRESETS

    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}; known are {', '.join(PRESETS)}")
    preset = PRESETS[name]
    if random_weights:
        own, adaptation = replace(preset.segmenter, pretrained=False), replace(preset.adaptation, pretrained=False)
        preset = replace(preset, segmenter=own, adaptation=adaptation)
    if weights is not None and not (preset.segmenter.pretrained or preset.adaptation.pretrained):
        raise InputError("--weights: everything starts from random weights here; drop the option")
    return preset


def choose_hardware(precision: str, **options: Any) -> Hardware:
    """Where to train; `options` are other fields of `Hardware`, and so are its errors."""
    from sdcda_tutorial.training import Hardware

    return Hardware(precision=precision, **options)


def open_data(spec: str, role: str, split: str, size: str | None, scenes: str | None = None) -> CrowdDataset:
    """Open a data set; plain `mini` is the mini world's part of that role, which is made when it is not there yet."""
    from sdcda_tutorial.datasets import DATASET_NAMES, ImageFolder, open_dataset

    options = _sides(size)
    if spec == "mini":
        from sdcda_tutorial.mini_world import ensure_mini_world

        ensure_mini_world(announced_mini_root())
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


def _sides(text: str | None) -> dict[str, Any]:
    """What `open_dataset` is given for a --size."""
    if text is None:
        return {}
    if text == "stored":
        return {"max_side": None}
    found = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", text)
    sides = tuple(int(side) for side in found.groups() if side) if found else (0,)
    if 0 in sides:
        raise InputError(
            f"--size is HEIGHTxWIDTH in pixels, as 384x576, the longer side, as 576, or stored, not {text!r}"
        )
    return {"max_side": sides[0]} if len(sides) == 1 else {"size": sides}


def announced_mini_root() -> Path:
    """`places.mini_root`; a world that is about to be drawn outside the current folder is announced on stderr."""
    from sdcda_tutorial.places import MINI_ROOT, mini_root

    root = mini_root()
    if root != MINI_ROOT and not root.exists() and is_first_process():
        typer.echo(f"note: the mini world is drawn into {root}", err=True)
    return root


def labelled_part(target: str, split: str, say: Callable[[str], object]) -> str:
    """The part of a data set that has labels where `split` has none; the reader is told."""
    from sdcda_tutorial.datasets import published_split

    opened = split if target == "mini" else str(published_split(target, split))
    if opened != split:
        say(f"note: the {split} part of {target} has no labels; the {opened} part stands in for it")
    return opened


def find_model(given: Path) -> Path:
    """What an option names as a checkpoint: a file, or by its name a model that comes with the package."""
    from sdcda_tutorial.places import MODELS, model

    bundled = str(given) in MODELS and not given.is_file()
    if bundled and (own := given / "model.safetensors").exists():
        raise InputError(f"{given} is a bundled model and a folder here; name {own}, or call this from another folder")
    found = model(str(given)) if bundled else given
    if not found.exists():  # before data is read, or drawn
        raise InputError(f"checkpoint {found} does not exist; give a .safetensors file that training has written")
    return found


def open_boxes(spec: str | None, target: str, size: str | None, preset: str) -> CrowdDataset | None:
    """Data for the mask model: what was named, or the mini world's drawn people for the mini target or for photos."""
    if spec is None:
        return open_data("mini", "third", "train", None) if target == "mini" or preset == "photos" else None
    return open_data(spec, "third", "train", None if spec.startswith("mini") else size)
