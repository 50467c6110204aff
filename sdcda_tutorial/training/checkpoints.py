"""Checkpoints: one safetensors file each, weights as tensors, everything else as JSON in its header.

One file, because one file can be replaced in one step: a kill during the writing leaves the old checkpoint, not half
of a new one. safetensors, because loading a stranger's weights must not run a stranger's code.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn
from torch.optim import Optimizer

from sdcda_tutorial import __version__
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import atomic_path, in_utf8, parse_json, regular_file
from sdcda_tutorial.networks import CrowdCounter, SemanticExtractor, make_counter

T = TypeVar("T")
_DIGESTS = "digests"  # of card and tensors, in the stored card; files of earlier versions have none


def save(path: str | Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Write tensors and their card (anything JSON can hold) to `path`, atomically, with digests of both."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # In the card: safetensors would write a second entry of the header before or after the first, as it happens.
    signed = {**card, _DIGESTS: {"card": _card_digest(card), "tensors": _tensors_digest(contiguous)}}
    with atomic_path(path) as temporary:
        save_file(contiguous, temporary, {"card": _text(signed)})


def save_file(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """As that of safetensors, which writes to a file of its own first; if killed, it would leave that behind."""
    path.write_bytes(serialise(dict(tensors), metadata=metadata))


def load(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read back what `save` wrote, on the CPU.

    Raises:
        InputError: the file is missing, broken, or not one of ours.
    """
    with _opened(path) as (file, card, written):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if written is not None and written != _tensors_digest(tensors):
            raise _damaged(path, "its numbers are not those that were written")
        return tensors, card


def _text(card: Mapping[str, Any]) -> str:
    return in_utf8(json.dumps(card, ensure_ascii=False))


def _card_digest(card: Mapping[str, Any]) -> str:
    return hashlib.sha256(_text(card).encode()).hexdigest()[:16]


def _tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Of all names, types, shapes and numbers, whatever their order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        numbers: Any = tensor.reshape(-1).view(torch.uint8).numpy()
        digest.update(numbers)
    return digest.hexdigest()[:16]


def _damaged(path: str | Path, reason: str) -> InputError:
    return InputError(f"checkpoint {path} is broken ({reason}); restore it or train again")


def read_card(path: str | Path) -> dict[str, Any]:
    """The card of a checkpoint; no tensor is read. Errors as in `load`."""
    with _opened(path) as (_, card, _):
        return card


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, dict[str, Any], str | None]]:
    path = Path(path)
    if path.is_dir():
        raise InputError(f"checkpoint {path} is a folder; name a .safetensors file in it")
    if not path.exists():
        raise InputError(f"checkpoint {path} does not exist; give a .safetensors file that training has written")
    regular_file(path)
    try:
        with _in_utf8(path) as readable, safe_open(readable, framework="pt") as file:
            card = dict(parse_json((file.metadata() or {})["card"]))
            written = card.pop(_DIGESTS, {"card": _card_digest(card), "tensors": None})
            if written["card"] != _card_digest(card):
                raise _damaged(path, "its card is not the one that was written")
            yield file, current_names(card), written["tensors"]
    except (SafetensorError, OSError) as error:
        raise _damaged(path, str(error)) from None
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError):
        raise InputError(f"checkpoint {path} was not written by this package; it has no card in its header") from None


@contextmanager
def _in_utf8(path: Path) -> Iterator[str | Path]:
    """The path, or where its name is no UTF-8, which safetensors refuses, the open file's (Linux and macOS)."""
    if in_utf8(str(path)) == str(path):
        yield path
    else:
        with open(path, "rb") as file:
            yield f"/dev/fd/{file.fileno()}"


_RENAMED = {"kernels": "counter"}
_ALWAYS_WAS = {"scales": [1.0]}  # settings that are none any more, and their only value


def current_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A card or a configuration as this version would have written it, whichever version has."""
    kept = {key: value for key, value in stored.items() if _ALWAYS_WAS.get(key, ...) != value}
    return {
        _RENAMED.get(key, key): current_names(value) if isinstance(value, dict) else value
        for key, value in kept.items()
    }


def weights_digest(path: str | Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a checkpoint's tensors as stored: the identity of the model.

    The header does not count, so a figure added to the card does not make it another model.

    Raises:
        InputError: no such file, or none that is whole.
    """
    digest = hashlib.sha256()
    try:
        with open(regular_file(path), "rb") as file:
            file.seek(8 + int.from_bytes(file.read(8), "little"))  # safetensors: length of the header, header, tensors
            while block := file.read(2**20):
                digest.update(block)
    except (OSError, OverflowError, ValueError) as error:  # the latter two: a length that no file has
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"checkpoint {path} is broken or missing ({reason}); restore it or train again") from None
    return digest.hexdigest()[:16]


def export(path: str | Path, out: str | Path, about: Mapping[str, Any] | None = None) -> None:
    """Copy a model to `out` at half the size: numbers as float16, and without D, which only training needs.

    Evaluations on its card, which are of the whole model, stay behind.

    Args:
        about: added to the card, such as the figures that the model reached.
    Raises:
        InputError: a number does not fit into float16.
    """
    tensors, card = load(path)
    halved = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if not name.startswith("D.")
    }
    broken = next((name for name, tensor in halved.items() if not bool(torch.isfinite(tensor).all())), None)
    if broken is not None:
        raise InputError(f"{broken} of {path} does not fit into half precision; keep the full checkpoint instead")
    save(out, halved, {**{key: value for key, value in card.items() if key != "tests"}, **(about or {})})


def load_counter(path: str | Path) -> tuple[CrowdCounter, dict[str, Any]]:
    """The crowd counter E + C of a checkpoint, ready to predict, and the checkpoint's card."""
    counter, tensors, card = _counter_of(path)
    load_weights(counter, tensors, "counter", path)
    return counter.eval(), card


def load_segmenter(path: str | Path) -> tuple[nn.ModuleDict, dict[str, Any]]:
    """E and S of a checkpoint (the mask model, or an adapted one that kept its S), and the checkpoint's card."""
    counter, tensors, card = _counter_of(path)
    segmenter = nn.ModuleDict({"E": counter.E, "S": SemanticExtractor(counter.E.channels, counter.E.stride)})
    load_weights(segmenter["E"], tensors, "counter.E", path)
    load_weights(segmenter["S"], tensors, "S", path)
    return segmenter.eval(), card


def build(make: Callable[[], T], path: str | Path) -> T:
    """`make()`, which reads a checkpoint's card; an InputError where the card lacks something or has another form."""
    try:
        return make()
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:  # the last: a width below zero
        reason = f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise InputError(
            f"checkpoint {path} is of another version of this package ({reason}); train it again"
        ) from None


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str, path: str | Path) -> None:
    """Fill `module` from the tensors named prefix.*, whatever precision they were stored in.

    Raises:
        InputError: a weight is missing or has another shape.
    """
    state = module.state_dict()
    for name, ours in state.items():
        theirs = tensors.get(f"{prefix}.{name}")
        if theirs is None or theirs.shape != ours.shape:
            has = "nothing" if theirs is None else f"shape {tuple(theirs.shape)}"
            wrong = f"{prefix}.{name} should have shape {tuple(ours.shape)}, the file has {has}"
            raise _another_architecture(path, wrong)
        ours.copy_(theirs)  # in place, so that the memory order (channels-last) stays


def refuse_other_architecture(card: Mapping[str, Any], wanted: Mapping[str, Any], path: str | Path) -> None:
    """Raise an InputError when the card's counter is not the wanted one, not even in what no shape shows."""
    has = _architecture(card, path)
    changed = sorted(key for key in has.keys() | wanted.keys() if has.get(key) != wanted.get(key))
    if changed:
        key = changed[0]
        raise _another_architecture(path, f"{key} is {has.get(key)}, not {wanted.get(key)}")


def _another_architecture(path: str | Path, wrong: str) -> InputError:
    fix = "choose the checkpoint or the options that belong together"
    return InputError(f"checkpoint {path} is of another architecture: {wrong}; {fix}")


def module_tensors(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """All weights and buffers, named module.parameter."""
    return {f"{name}.{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}


def optimizer_tensors(optimizers: Mapping[str, Optimizer]) -> dict[str, Tensor]:
    """The state of the optimisers (Adam's moments and step counts), named optimizer.NAME.PARAMETER_INDEX.KEY."""
    return {
        f"optimizer.{name}.{index}.{key}": value
        for name, optimizer in optimizers.items()
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }


def restore_optimizers(optimizers: Mapping[str, Optimizer], tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Undo `optimizer_tensors`, bit for bit."""
    for name, optimizer in optimizers.items():
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for index, parameter in enumerate(parameters):
            prefix = f"optimizer.{name}.{index}."
            stored = {key: value for key, value in tensors.items() if key.startswith(prefix)}
            if not stored:  # going on without the moments would silently give another result
                raise InputError(f"checkpoint {path} does not fit this run: {prefix}* is missing")
            for key, value in stored.items():
                if value.ndim > 0 and value.shape != parameter.shape:  # Adam's step count is a scalar
                    raise InputError(f"checkpoint {path} does not fit this run: {key} has another shape")
                # In the memory order of the parameter, as the optimiser itself would have made it.
                own = value.clone() if value.ndim == 0 else torch.empty_like(parameter).copy_(value)
                optimizer.state[parameter][key.removeprefix(prefix)] = own


def versions() -> dict[str, str]:
    """The versions that produced a result, and the instructions that the CPU offers."""
    found = {"python": platform.python_version(), "cpu_capability": torch.backends.cpu.get_cpu_capability()}
    packages = ("torch", "torchvision", "numpy", "lightning-fabric")
    return found | {"sdcda-tutorial": __version__} | {package: version(package) for package in packages}


def load_model(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """As `load`, of a checkpoint that is no state of a run."""
    tensors, card = load(path)
    if "state" in card:
        raise InputError(f"checkpoint {path} is the state of a run, to go on from; use the model.safetensors beside it")
    return tensors, card


def _counter_of(path: str | Path) -> tuple[CrowdCounter, dict[str, Tensor], dict[str, Any]]:
    """A counter with the architecture of a model's checkpoint but random weights; the tensors and the card."""
    tensors, card = load_model(path)

    def make() -> CrowdCounter:
        counter = make_counter(**_architecture(card, path))
        if not counter.label_factor > 0:
            raise ValueError(f"label_factor is above 0, not {counter.label_factor}")
        return counter

    return build(make, path), tensors, card


def _architecture(card: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    try:
        return dict(card["architecture"]["counter"])
    except (KeyError, TypeError):
        raise InputError(
            f"checkpoint {path} does not say its architecture; was it written by another program?"
        ) from None
