"""`sdcda doctor`: is everything here that the package needs? One check a line, each with its fix."""

from __future__ import annotations

import ctypes
import importlib
import os
import re
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from sdcda_tutorial import WAITING

PACKAGES = (
    "torch", "torchvision", "lightning-fabric", "torchmetrics", "numpy", "scipy", "pillow", "safetensors", "filelock",
    "platformdirs", "matplotlib", "seaborn", "ipywidgets", "tqdm", "typer", "rich",
)  # fmt: skip
IMPORTED_AS = {"pillow": "PIL"}  # others: their names, with _ for -
CPUINFO = Path("/proc/cpuinfo")  # Linux has it
ASKS_FOR_BF16 = (2, 7)  # older versions of PyTorch do not see all processors that have it, and do not use it there


class Check(NamedTuple):
    """What was looked at, whether it is well, and how to fix it if not."""

    ok: bool
    text: str
    mend: str = ""


def doctor(
    imports: Annotated[
        bool, typer.Option("--imports", help="import every package too: finds broken ones, in some ten seconds")
    ] = False,
) -> None:
    """Check Python, the packages, the device and the data; say what to do where something is missing."""
    if _torch_knows_more() and "torch" not in sys.modules:
        typer.echo("note: PyTorch is asked about the device, which takes a few seconds", err=True)
    checks = examine(imports)
    for check in checks:
        typer.echo(f"[{' OK ' if check.ok else 'FAIL'}] {check.text}" + ("" if check.ok else f" -> {check.mend}"))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def examine(imports: bool = False) -> list[Check]:
    """All checks, in the order in which to fix what fails.

    Args:
        imports: import every package, too. Without it nothing slow is imported, but a package that is installed and
            broken is found only where its files are missing.
    """
    checks = [Check(sys.version_info >= (3, 10), f"Python {sys.version.split()[0]}", "install Python 3.10 or newer")]
    checks += [_package(name, imports) for name in PACKAGES]
    if all(check.ok for check in checks):
        checks += [_waiting(), *_device(), _models(), *_clone(), _mini_world()]
    return checks


def _package(name: str, imports: bool) -> Check:
    text, module = name, IMPORTED_AS.get(name, name.replace("-", "_"))
    try:
        text = f"{name} {version(name)}"
        if imports or find_spec(module) is None:
            importlib.import_module(module)
    except PackageNotFoundError:
        return Check(False, f"{name} is not installed", f"pip install {name}")
    except Exception as error:  # an installed package that does not import is as good as none, whatever it raises
        return _broken(text, error)
    return Check(True, text)


def _broken(package: str, error: Exception) -> Check:
    why = str(error).partition("\n")[0]
    return Check(False, f"{package} does not import: {why}", f"pip install {package.split()[0]}")


def _device() -> list[Check]:
    """What PyTorch computes on, and whether that has bfloat16."""
    if not _torch_knows_more():
        return _cpu(_flags_say_bf16())
    try:
        import torch

        from sdcda_tutorial.training.hardware import cpu_has_bf16
    except Exception as error:
        return [_broken(f"torch {version('torch')}", error)]
    if not torch.cuda.is_available():
        return _cpu(cpu_has_bf16())
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    gpu = Check(True, f"GPU {torch.cuda.get_device_name(0)}, {memory:.0f} GiB")
    return [gpu, _half(torch.cuda.get_device_capability() >= (8, 0), "float16")]


def _torch_knows_more() -> bool:
    """Whether PyTorch, which takes seconds to import, can say more of the device than the system does.

    On Linux it finds no GPU where NVIDIA's driver cannot be loaded, unless it is built for AMD's, and the system knows
    what the processor can do, unless oneDNN is held to less.
    """
    held = not {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"}.isdisjoint(os.environ)
    if "torch" in sys.modules or held or not CPUINFO.is_file():
        return True
    with suppress(PackageNotFoundError, ValueError):
        number = version("torch")
        if "rocm" in number or tuple(map(int, number.split(".")[:2])) < ASKS_FOR_BF16:
            return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _flags_say_bf16() -> bool:
    """As `training.hardware.cpu_has_bf16`, from what Linux says of the processor."""
    flags = re.search(r"^flags\s*:(.*)$", CPUINFO.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return flags is not None and not {"avx512_bf16", "amx_tile"}.isdisjoint(flags[1].split())


def _cpu(bfloat16: bool) -> list[Check]:
    device = (
        f"no GPU: {os.cpu_count()} CPU cores, enough for the mini preset; the paper preset wants a GPU "
        "(in Colab: Runtime, Change runtime type, GPU)"
    )
    return [Check(True, device), _half(bfloat16, "float32")]


def _half(bfloat16: bool, other: str) -> Check:
    return Check(True, "bfloat16 in hardware" if bfloat16 else f"no bfloat16 in hardware: {other} is used")


def _waiting() -> Check:
    found = [f"{name}={os.environ[name]}" for name in ("OMP_WAIT_POLICY", *WAITING) if name in os.environ]
    return Check(True, f"threads that wait for each other: {', '.join(found)}")


def _models() -> Check:
    from safetensors import SafetensorError, safe_open

    from sdcda_tutorial.errors import InputError
    from sdcda_tutorial.places import MODELS, model

    try:
        paths = [model(name) for name in MODELS]
    except InputError as error:
        what, _, fix = str(error).partition("; ")
        return Check(False, what, fix)
    for path in paths:
        try:
            with safe_open(path, framework="numpy"):  # its length fits its header; without torch
                pass
        except (SafetensorError, OSError):
            return Check(False, f"{path} is broken or not fetched", "restore it: git checkout, or git lfs pull")
    folder = paths[0].parent
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
    return Check(True, f"the mini world will be drawn into {mini} by the first command that needs it")
