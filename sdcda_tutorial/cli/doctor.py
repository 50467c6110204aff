"""`sdcda doctor`: is everything here that the package needs? One check a line, each with its fix."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import typer

from sdcda_tutorial import WAITING

PACKAGES = (
    "torch", "torchvision", "lightning-fabric", "torchmetrics", "numpy", "scipy", "pillow", "safetensors", "filelock",
    "matplotlib", "seaborn", "ipywidgets", "tqdm", "typer", "rich",
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
        checks += [_waiting(), *_device(), _data()]
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


def _data() -> Check:
    from sdcda_tutorial.mini_world.world import MANIFEST

    mini = Path("data/mini")
    if (mini / MANIFEST).exists():
        return Check(True, f"the mini world is in {mini}")
    if os.access(Path.cwd(), os.W_OK):
        return Check(True, f"the mini world will be drawn into {mini} when it is first needed")
    return Check(False, f"{Path.cwd()} is read-only", "run in a folder that you may write to")
