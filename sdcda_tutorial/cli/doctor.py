"""`sdcda doctor`: is everything here that the package needs? One check a line, each with its fix."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata, version
from typing import NamedTuple

import typer

from sdcda_tutorial import WAITING

PACKAGES = (
    "torch", "torchvision", "lightning-fabric", "torchmetrics", "numpy", "scipy", "pillow", "safetensors", "filelock",
    "platformdirs", "matplotlib", "seaborn", "ipywidgets", "tqdm", "typer", "rich",
)  # fmt: skip
IMPORTED_AS = {"pillow": "PIL", "lightning-fabric": "lightning_fabric"}


class Check(NamedTuple):
    """What was looked at, whether it is well, and how to fix it if not."""

    ok: bool
    text: str
    mend: str = ""


def doctor() -> None:
    """Check Python, the packages, the device and the data; say what to do where something is missing."""
    checks = examine()
    for check in checks:
        typer.echo(f"[{' OK ' if check.ok else 'FAIL'}] {check.text}" + ("" if check.ok else f" -> {check.mend}"))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def examine() -> list[Check]:
    """All checks, in the order in which to fix what fails."""
    checks = [Check(sys.version_info >= (3, 10), f"Python {sys.version.split()[0]}", "install Python 3.10 or newer")]
    checks += [_package(name) for name in PACKAGES]
    if all(check.ok for check in checks):
        checks += [_waiting(), *_device(), _models(), *_clone(), _mini_world()]
    return checks


def _package(name: str) -> Check:
    text = name
    try:
        text = f"{name} {version(name)}"
        importlib.import_module(IMPORTED_AS.get(name, name))
    except PackageNotFoundError:
        return Check(False, f"{name} is not installed", f"pip install {name}")
    except Exception as error:  # an installed package that does not import is as good as none, whatever it raises
        return Check(False, f"{text} does not import: {str(error).partition(chr(10))[0]}", f"pip install {name}")
    return Check(True, text)


def _device() -> list[Check]:
    import torch

    from sdcda_tutorial.training.hardware import cpu_has_bf16

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        device, other = f"GPU {torch.cuda.get_device_name(0)}, {memory:.0f} GiB", "float16"
        bfloat16 = torch.cuda.get_device_capability() >= (8, 0)
    else:
        device = (
            f"no GPU: {os.cpu_count()} CPU cores, enough for the mini preset; the paper preset wants a GPU "
            "(in Colab: Runtime, Change runtime type, GPU)"
        )
        other, bfloat16 = "float32", cpu_has_bf16()
    half = "bfloat16 in hardware" if bfloat16 else f"no bfloat16 in hardware: {other} is used"
    return [Check(True, device), Check(True, half)]


def _waiting() -> Check:
    found = [f"{name}={os.environ[name]}" for name in ("OMP_WAIT_POLICY", *WAITING) if name in os.environ]
    return Check(True, f"threads that wait for each other: {', '.join(found)}")


def _models() -> Check:
    from sdcda_tutorial.errors import InputError
    from sdcda_tutorial.places import MODELS, model

    try:
        folder = {model(name).parent for name in MODELS}.pop()
    except InputError as error:
        what, _, fix = str(error).partition("; ")
        return Check(False, what, fix)
    return Check(True, f"trained models ({', '.join(MODELS)}) are in {folder}")


def _clone() -> list[Check]:
    """A note where there is no clone: what is not part of the package is not here."""
    from sdcda_tutorial.places import clone

    if clone() is not None:
        return []
    where = "the repository"
    with suppress(PackageNotFoundError):  # run from a folder, not installed
        addresses = dict(one.split(", ", 1) for one in metadata("sdcda-tutorial").get_all("Project-URL") or ())
        where = addresses.get("Repository", where)
    return [Check(True, f"not in a clone: all commands work; notebooks and measured results are in {where}")]


def _mini_world() -> Check:
    from sdcda_tutorial.errors import InputError
    from sdcda_tutorial.files import require_writable
    from sdcda_tutorial.places import MANIFEST, mini_root

    mini = mini_root()
    if (mini / MANIFEST).exists():
        return Check(True, f"the mini world is in {mini}")
    try:
        require_writable(mini)
    except InputError as error:
        fix = "draw it elsewhere: sdcda data mini --root FOLDER, then --target mini-target:FOLDER"
        return Check(False, str(error).partition(";")[0], fix)
    return Check(True, f"the mini world will be drawn into {mini} when it is first needed")
