"""What a run saves and when, and how it goes on after an interruption.

A run folder holds

    config.json         what was asked for
    metrics.jsonl       one line per logged step
    last.safetensors    weights, optimisers and step: everything to go on from
    model.safetensors   the weights chosen by validation: what one uses afterwards
    epoch_0012.safetensors, tensorboard/    where asked for: the weights after an epoch, the log for TensorBoard
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.files import read_json, write_json
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.log import Log, Records

SAVE_AFTER = 300.0  # seconds without a checkpoint, whatever the number of steps: what a kill may cost


@dataclass
class RunFolder:
    """The files of one training.

    Args:
        folder: where everything is written; new, unless the run is resumed.
        config: what was asked for, JSON-able; a resumed run must ask for the same.
        card: what the checkpoints say about themselves (architecture, data, ...).
        modules: all that training changes, by name: what last.safetensors holds.
        deployed: what model.safetensors holds, by name.
        optimizers: by name.
        fabric: device and precision; only its first process writes.
        records: what to leave besides.
    """

    folder: Path
    config: Mapping[str, Any]
    card: Mapping[str, Any]
    modules: Mapping[str, nn.Module]
    deployed: Mapping[str, nn.Module]
    optimizers: Mapping[str, Optimizer]
    fabric: Fabric
    records: Records = field(default_factory=Records)

    @property
    def model_path(self) -> Path:
        return self.folder / "model.safetensors"

    def begin(self, resume: bool) -> int:
        """Open a new folder, or go on in an old one; the number of steps already done.

        Raises:
            InputError: the folder is in use and `resume` was not asked for, or it belongs to another configuration.
        """
        last = self.find(resume)
        self.fabric.barrier()  # every process has looked before the first one writes
        if self.fabric.is_global_zero and not (self.folder / "config.json").exists():
            write_json(self.folder / "config.json", self._asked())
        self.fabric.barrier()
        state: dict[str, Any] = {"step": 0, "best": {"step": 0, "validation": None}, "seconds": 0.0}
        if last is not None:
            tensors, card = checkpoints.load(last)
            state = card["state"]
            for name, module in self.modules.items():
                checkpoints.load_weights(module, tensors, name, last)
            checkpoints.restore_optimizers(self.optimizers, tensors, last)
            if state["precision"]:
                self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.best = {key: math.inf if value is None else value for key, value in state["best"].items()}
        self._seconds = float(state["seconds"])
        self._began = self._saved = time.perf_counter()
        tensorboard = self.records.tensorboard and self.fabric.is_global_zero
        self.log = Log(self.folder, int(state["step"]), tensorboard=tensorboard)
        return int(state["step"])

    def find(self, resume: bool) -> Path | None:
        """The checkpoint to go on from, or None; errors as in `begin`."""
        asked, last = self.folder / "config.json", self.folder / "last.safetensors"
        if not (asked.exists() or last.exists()):
            return None
        if not resume:
            raise InputError(f"{self.folder} already holds a run; pass `resume` to go on, or choose another `folder`")
        then, now = checkpoints.current_names(read_json(asked)), self._asked()
        changed = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
        if changed:
            key = changed[0]
            if key not in then:
                raise InputError(f"{asked} is of another version, which knew no {key}; choose another `folder`")
            raise InputError(
                f"{asked} was started with {key}={then.get(key)!r}, not {now.get(key)!r}; "
                "resume with the same options or choose another `folder`"
            )
        if not last.exists():
            return None
        if "state" not in checkpoints.read_card(last):
            raise InputError(f"checkpoint {last} holds a model but no state to go on from; choose another `folder`")
        return last

    def _asked(self) -> dict[str, Any]:
        return dict(json.loads(json.dumps(self.config)))  # tuples become lists, as they will in the file

    def consider(self, step: int, validation: float) -> None:
        """Keep the model if its validation error is the lowest so far."""
        if not math.isfinite(validation):
            raise TrainingStopped(f"the validation error is not finite after step {step}; {self.what_is_left()}")
        self.log.add(step, {"validation": validation})
        if validation < self.best["validation"]:
            self.best = {"step": step, "validation": validation}
            self.write_model(self.model_path, self.best)

    def save(self, step: int, every: int, steps: int) -> None:
        """Write what to go on from: every so many steps, after the last, and where `SAVE_AFTER` seconds have gone by.

        Last of all that is written after a step: a run that resumes from before it writes the rest again.
        """
        if step % every and step != steps and time.perf_counter() - self._saved <= SAVE_AFTER:
            return
        self._saved = time.perf_counter()
        if not self.fabric.is_global_zero:
            return
        # The log first: a kill between the two leaves lines after the checkpoint's step, which resuming cuts off.
        self.log.save()
        tensors = checkpoints.module_tensors(self.modules) | checkpoints.optimizer_tensors(self.optimizers)
        self._require_finite_weights(tensors, step)
        state = {
            "step": step,
            "best": _finite(self.best),
            "seconds": round(self._trained_for(), 1),
            "precision": self.fabric.strategy.precision.state_dict(),
        }
        checkpoints.save(self.folder / "last.safetensors", tensors, {**self.card, "state": state})

    def keep_epoch(self, step: int, images: int) -> None:
        """The model after an epoch, where asked for; then away with the one that is too many: never are there fewer."""
        seen = self.config["batch_size"]
        epoch = step * seen // images
        if not self.records.keep or epoch == (step - 1) * seen // images or not self.fabric.is_global_zero:
            return
        self._require_finite_weights(checkpoints.module_tensors(self.deployed), step)
        path = self.folder / f"epoch_{epoch:04d}.safetensors"
        self.write_model(path, {"step": step, "epoch": epoch, "validation": None})
        for other in self.folder.glob("epoch_*.safetensors"):
            number = other.stem.removeprefix("epoch_")
            if number.isdigit() and int(number) <= epoch - self.records.keep:
                other.unlink()

    def write_model(self, path: Path, chosen: Mapping[str, Any]) -> None:
        if self.fabric.is_global_zero:
            card = {
                **self.card,
                "config": dict(self.config),
                "chosen": _finite(chosen),
                "versions": checkpoints.versions(),
                **checkpoints.circumstances(self.fabric, self._trained_for()),
            }
            checkpoints.save(path, checkpoints.module_tensors(self.deployed), card)

    def what_is_left(self) -> str:
        """The end of a message: what is left of a run that stopped, and what to try."""
        last = self.folder / "last.safetensors"
        kept = f"the last good checkpoint is {last}" if last.exists() else "no checkpoint had been written yet"
        return f"{kept}; try a lower learning rate or float32"

    def _require_finite_weights(self, tensors: Mapping[str, Tensor], step: int) -> None:
        broken = next((name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())), None)
        if broken is not None:  # a finite loss may have an infinite gradient; the last good checkpoint stays
            raise TrainingStopped(f"{broken} is not finite after step {step}; {self.what_is_left()}")

    def _trained_for(self) -> float:
        """Seconds, those before an interruption included."""
        return self._seconds + time.perf_counter() - self._began


def _finite(best: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isinf(value) else value for key, value in best.items()}
