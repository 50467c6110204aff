"""What every training has in common, and nothing about what is trained.

Counting steps, showing progress, logging, validating, saving, resuming: here, once. What happens in a step is a
function that the caller gives (`training.adaptation`, `training.segmentation`).

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm.auto import tqdm

from sdcda_tutorial.datasets.base import CrowdDataset
from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.files import read_json, write_json
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.log import Log, Records
from sdcda_tutorial.training.model_card import circumstances

LOG_EVERY = 10  # steps
CHOOSE_FROM = 0.5  # of the steps: earlier models are not candidates
SAVE_AFTER = 300.0  # seconds without a checkpoint, whatever the number of steps: what a kill may cost


@dataclass
class Run:
    """One training in its folder.

    Args:
        folder: where everything is written; new, unless `resume`.
        config: what was asked for, JSON-able; a resumed run must ask for the same.
        card: what the checkpoints say about themselves (architecture, data, ...).
        modules: all that training changes, by name: what last.safetensors holds.
        deployed: what model.safetensors holds, by name.
        optimizers: by name.
        fabric: device and precision.
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

    def train(
        self,
        step_function: Callable[..., dict[str, Tensor]],
        batches: Iterator[Sequence[Any]],
        *,
        start: int,
        steps: int,
        images: int,
        description: str,
        learning_rate: Callable[[int], dict[str, float]],
        validate: Callable[[CrowdDataset], float] | None = None,
        held_out: CrowdDataset | None = None,
        validate_every: int = 100,
        save_every: int | None = None,
    ) -> Path:
        """Run steps start ... steps - 1 and give the path of the chosen model.

        Args:
            step_function: does one step on what `batches` gives for it and returns its loss terms, scalars, to be shown
                and logged; raises FloatingPointError where one is not finite.
            batches: those of the steps from `start` on.
            images: an epoch is so many images.
            learning_rate: rate of each optimiser at step i: a function of the step, so it needs no saved state.
            validate: error on `held_out`, lower is better; called every `validate_every` steps in the later part of
                the training (`CHOOSE_FROM`), and at the end. The best model is kept; without it the last one is.
            save_every: steps between checkpoints to resume from; by default as often as validating. Where that takes
                long, time decides (`SAVE_AFTER`).
        """
        log, best = self._log, self._best
        save_every = save_every or validate_every
        bar = tqdm(
            range(start, steps), initial=start, total=steps, desc=description, unit="step", dynamic_ncols=True,
            disable=not self.fabric.is_global_zero, mininterval=0.5,
        )  # fmt: skip
        self._began = saved = time.perf_counter()
        for step, batch in zip(bar, batches, strict=False):
            try:
                terms = self._step(step, batch, step_function, learning_rate)
            except FloatingPointError as broken:
                raise TrainingStopped(f"{broken} at step {step}; {_kept(self.folder)}") from None
            done = step + 1
            if done % LOG_EVERY == 0 or done == steps:
                values = {name: float(value.detach()) for name, value in terms.items()}
                log.add(done, values)
                bar.set_postfix({name: f"{value:.3g}" for name, value in values.items()}, refresh=False)
            if validate is not None and held_out is not None and validates(done, steps, validate_every):
                error = validate(held_out)
                if not math.isfinite(error):
                    raise TrainingStopped(f"the validation error is not finite after step {done}; {_kept(self.folder)}")
                log.add(done, {"validation": error})
                if error < best["validation"]:
                    best = {"step": done, "validation": error}
                    self._write_model(self.model_path, best)
            epoch = done * self.config["batch_size"] // images
            if self.records.keep and epoch > step * self.config["batch_size"] // images:
                self._keep_epoch(epoch, done)
            if done % save_every == 0 or done == steps or time.perf_counter() - saved > SAVE_AFTER:
                self._save(done, best)
                saved = time.perf_counter()
        log.close()
        # A finished run that is begun again keeps its file: others may know it by its digest.
        if validate is None and (start < steps or not self.model_path.exists()):
            self._write_model(self.model_path, {"step": steps, "validation": math.inf})
        self.fabric.barrier()  # no process goes on to read the model before it is written
        return self.model_path

    def _step(
        self,
        step: int,
        batch: Sequence[Any],
        step_function: Callable[..., dict[str, Tensor]],
        learning_rate: Callable[[int], dict[str, float]],
    ) -> dict[str, Tensor]:
        for name, rate in learning_rate(step).items():
            for group in self.optimizers[name].param_groups:
                group["lr"] = rate
        # Dropout draws from torch's generator: seeded by the step, a resumed run draws what the unbroken one did. Each
        # process has other images, so it draws for itself.
        torch.manual_seed(int(self.config["seed"]) * 1_000_003 + step + 500_009 * self.fabric.global_rank)
        try:
            return step_function(*batch)
        except torch.cuda.OutOfMemoryError:
            raise TrainingStopped(
                f"the GPU's memory is too small for step {step}; pass batches in parts (--accumulate 2), compute "
                "activations twice (--checkpoint-activations), or lower --batch-size"
            ) from None

    # The folder -----------------------------------------------------------------------------------------------------

    @property
    def model_path(self) -> Path:
        return self.folder / "model.safetensors"

    def begin(self, resume: bool) -> int:
        """Open a new folder, or go on in an old one; the number of steps already done.

        Raises:
            InputError: the folder is in use and `resume` was not asked for, or it belongs to another configuration.
        """
        last = self._find(resume)
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
        self._best = {key: math.inf if value is None else value for key, value in state["best"].items()}
        self._seconds = float(state["seconds"])
        tensorboard = self.records.tensorboard and self.fabric.is_global_zero
        self._log = Log(self.folder, int(state["step"]), tensorboard=tensorboard)
        return int(state["step"])

    def _find(self, resume: bool) -> Path | None:
        """The checkpoint to go on from, or None; errors as in `begin`."""
        asked, last = self.folder / "config.json", self.folder / "last.safetensors"
        if not (asked.exists() or last.exists()):
            return None
        if not resume:
            raise InputError(f"{self.folder} already holds a run; pass --resume to go on, or choose another --out")
        then, now = read_json(asked), self._asked()
        changed = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
        if changed:
            key = changed[0]
            if key not in then:
                raise InputError(f"{asked} is of another version, which knew no {key}; choose another --out")
            raise InputError(
                f"{asked} was started with {key}={then.get(key)!r}, not {now.get(key)!r}; "
                "resume with the same options or choose another --out"
            )
        if not last.exists():
            return None
        if "state" not in checkpoints.read_card(last):
            raise InputError(f"checkpoint {last} holds a model but no state to go on from; choose another --out")
        return last

    def _asked(self) -> dict[str, Any]:
        return dict(json.loads(json.dumps(self.config)))  # tuples become lists, as they will in the file

    def _save(self, step: int, best: Mapping[str, Any]) -> None:
        """What to go on from. Last of all that is written after a step: who resumes writes the rest again."""
        if not self.fabric.is_global_zero:
            return
        # The log first: a kill between the two leaves lines after the checkpoint's step, which resuming cuts off.
        self._log.save()
        tensors = checkpoints.module_tensors(self.modules) | checkpoints.optimizer_tensors(self.optimizers)
        self._require_finite_weights(tensors, step)
        state = {
            "step": step,
            "best": _finite(best),
            "seconds": round(self._trained_for(), 1),
            "precision": self.fabric.strategy.precision.state_dict(),
        }
        checkpoints.save(self.folder / "last.safetensors", tensors, {**self.card, "state": state})

    def _keep_epoch(self, epoch: int, step: int) -> None:
        """The model after an epoch, then away with the one that is too many: at no time are there fewer."""
        if not self.fabric.is_global_zero:
            return
        self._require_finite_weights(checkpoints.module_tensors(self.deployed), step)
        path = self.folder / f"epoch_{epoch:04d}.safetensors"
        self._write_model(path, {"step": step, "epoch": epoch, "validation": None})
        for other in self.folder.glob("epoch_*.safetensors"):
            number = other.stem.removeprefix("epoch_")
            if number.isdigit() and int(number) <= epoch - self.records.keep:
                other.unlink()

    def _require_finite_weights(self, tensors: Mapping[str, Tensor], step: int) -> None:
        broken = next((name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())), None)
        if broken is not None:  # a finite loss may have an infinite gradient; the last good checkpoint stays
            raise TrainingStopped(f"{broken} is not finite after step {step}; {_kept(self.folder)}")

    def _write_model(self, path: Path, chosen: Mapping[str, Any]) -> None:
        if self.fabric.is_global_zero:
            card = {
                **self.card,
                "config": dict(self.config),
                "chosen": _finite(chosen),
                "versions": checkpoints.versions(),
                **circumstances(self.fabric, self._trained_for()),
            }
            checkpoints.save(path, checkpoints.module_tensors(self.deployed), card)

    def _trained_for(self) -> float:
        """Seconds, those before an interruption included."""
        return self._seconds + time.perf_counter() - self._began


def validates(done: int, steps: int, every: int) -> bool:
    """Whether the model is validated after `done` of `steps` steps."""
    return done == steps or (done % every == 0 and done >= CHOOSE_FROM * steps)


def require_finite(terms: Mapping[str, Tensor]) -> None:
    """Stop before a NaN or infinite loss reaches the weights.

    Raises:
        FloatingPointError: names the term; `Run.train` adds the step and where the last good checkpoint is.
    """
    values = torch.stack([term.detach().float() for term in terms.values()])
    if bool(torch.isfinite(values).all()):
        return
    wrong = next(name for name, value in zip(terms, values.tolist(), strict=True) if not math.isfinite(value))
    raise FloatingPointError(f"the {wrong} loss is not finite")


def _kept(folder: Path) -> str:
    """The end of a message: what is left of a run that stopped, and what to try."""
    last = folder / "last.safetensors"
    kept = f"the last good checkpoint is {last}" if last.exists() else "no checkpoint had been written yet"
    return f"{kept}; try a lower learning rate or float32"


def _finite(best: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isinf(value) else value for key, value in best.items()}
