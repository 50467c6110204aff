"""What every training has in common, and nothing about what is trained.

Counting steps, showing progress, logging, validating, saving, resuming: here, once. What happens in a step is a
function that the caller gives (`training.adaptation`, `training.segmentation`).

A run folder holds

    config.json         what was asked for
    metrics.jsonl       one line per logged step
    last.safetensors    weights, optimisers and step: everything to go on from
    model.safetensors   the weights chosen by validation: what one uses afterwards
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm.auto import tqdm

from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.files import read_json, write_json, write_text
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.model_card import circumstances

Precision = str  # "auto", or one of lightning-fabric's: "32-true", "bf16-mixed", "16-mixed"


@dataclass(frozen=True)
class Hardware:
    """Where to train.

    Nothing in here changes what is computed, up to rounding, except `devices`: batch norm sees each process's share.
    """

    accelerator: str = "auto"
    devices: int = 1
    precision: Precision = "auto"
    workers: int | None = None  # processes that prepare batches; None: none on a CPU, a few beside a GPU

    def launch(self) -> Fabric:
        """A launched Fabric of this description."""
        fabric = Fabric(
            accelerator=self.accelerator,
            devices=self.devices,
            precision=self.resolved_precision(),  # type: ignore[arg-type]
        )
        fabric.launch()
        return fabric

    def resolved_precision(self) -> str:
        """Half precision where the hardware computes in it; emulated it is many times slower than float32."""
        if self.precision != "auto":
            return self.precision
        if self.accelerator != "cpu" and torch.cuda.is_available():
            return "bf16-mixed" if torch.cuda.get_device_capability() >= (8, 0) else "16-mixed"
        return "bf16-mixed" if cpu_has_bf16() else "32-true"


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AVX512-BF16 or AMX), and the library uses it."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    if not any(getattr(torch.cpu, probe, lambda: False)() for probe in probes):
        return False
    # The hardware is not all: ONEDNN_MAX_CPU_ISA may hold the library to older instructions.
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@contextmanager
def denormals_are_zero() -> Iterator[None]:
    """Weights decay towards zero, and a CPU computes with the smallest numbers (denormals) in slow microcode.

    What follows a training is none of its business: the caller's arithmetic is as exact afterwards as it was before.
    """
    were_zero = sys.float_info.min / 2 == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(were_zero)


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
    """

    folder: Path
    config: Mapping[str, Any]
    card: Mapping[str, Any]
    modules: Mapping[str, nn.Module]
    deployed: Mapping[str, nn.Module]
    optimizers: Mapping[str, Optimizer]
    fabric: Fabric

    def train(
        self,
        step_function: Callable[[int], dict[str, Tensor]],
        *,
        start: int,
        steps: int,
        description: str,
        learning_rate: Callable[[int], dict[str, float]],
        validate: Callable[[], float] | None = None,
        validate_every: int = 100,
        choose_from: float = 0.5,
        save_every: int | None = None,
        log_every: int = 10,
    ) -> Path:
        """Run steps start ... steps - 1 and give the path of the chosen model.

        Args:
            step_function: does step number i and returns its loss terms, scalars, to be shown and logged; raises
                FloatingPointError where one is not finite.
            learning_rate: rate of each optimiser at step i: a function of the step, so it needs no saved state.
            validate: lower is better; called every `validate_every` steps from `choose_from` × steps on, and at the
                end. The best model is kept; without it the last one is.
            save_every: steps between checkpoints to resume from; by default as often as validating.
        """
        best, history = self._best, self._history
        save_every = save_every or validate_every
        bar = tqdm(
            range(start, steps), initial=start, total=steps, desc=description, unit="step", dynamic_ncols=True,
            disable=not self.fabric.is_global_zero, mininterval=0.5,
        )  # fmt: skip
        self._began = time.perf_counter()
        for step in bar:
            for name, rate in learning_rate(step).items():
                for group in self.optimizers[name].param_groups:
                    group["lr"] = rate
            # Dropout draws from torch's generator: seeded by the step, a resumed run draws what the unbroken one did.
            torch.manual_seed(int(self.config["seed"]) * 1_000_003 + step)
            try:
                terms = step_function(step)
            except FloatingPointError as broken:
                raise TrainingStopped(f"{broken} at step {step}; {_kept(self.folder)}") from None
            done = step + 1
            if done % log_every == 0 or done == steps:
                values = {name: float(value.detach()) for name, value in terms.items()}
                history.append({"step": done, **{name: round(value, 7) for name, value in values.items()}})
                bar.set_postfix({name: f"{value:.3g}" for name, value in values.items()}, refresh=False)
            validated = validate is not None and (
                done == steps or (done % validate_every == 0 and done >= choose_from * steps)
            )
            if validated and validate is not None:
                error = validate()
                if not math.isfinite(error):
                    raise TrainingStopped(f"the validation error is not finite after step {done}; {_kept(self.folder)}")
                history.append({"step": done, "validation": round(error, 5)})
                if error < best["validation"]:
                    best = {"step": done, "validation": error}
                    self._write_model(best)
            if done % save_every == 0 or done == steps:
                self._save(done, best, history)
        # A finished run that is begun again keeps its file: others may know it by its digest.
        if validate is None and (start < steps or not self.model_path.exists()):
            self._write_model({"step": steps, "validation": math.inf})
        self.fabric.barrier()  # no process goes on to read the model before it is written
        return self.model_path

    # The folder -----------------------------------------------------------------------------------------------------

    @property
    def model_path(self) -> Path:
        return self.folder / "model.safetensors"

    def begin(self, resume: bool) -> int:
        """Open a new folder, or go on in an old one; the number of steps already done.

        Raises:
            InputError: the folder is in use and `resume` was not asked for, or it belongs to another configuration.
        """
        self._best, self._history, self._seconds = {"step": 0, "validation": math.inf}, [], 0.0
        config_path, last = self.folder / "config.json", self.folder / "last.safetensors"
        config = json.loads(json.dumps(self.config))  # tuples become lists, as they will in the file
        in_use = config_path.exists() or last.exists()
        self.fabric.barrier()  # every process has looked before the first one writes
        if in_use:
            if not resume:
                raise InputError(f"{self.folder} already holds a run; pass --resume to go on, or choose another --out")
            asked = read_json(config_path)
            changed = sorted(key for key in asked.keys() | config.keys() if asked.get(key) != config.get(key))
            if changed:
                key = changed[0]
                raise InputError(
                    f"{config_path} was started with {key}={asked.get(key)!r}, not {config.get(key)!r}; "
                    "resume with the same options or choose another --out"
                )
        elif self.fabric.is_global_zero:
            write_json(config_path, config)
        self.fabric.barrier()
        if not last.exists():
            return 0
        tensors, card = checkpoints.load(last)
        if "state" not in card:
            raise InputError(f"checkpoint {last} holds a model but no state to go on from; choose another --out")
        for name, module in self.modules.items():
            checkpoints.load_weights(module, tensors, name, last)
        checkpoints.restore_optimizers(self.optimizers, tensors, last)
        scaler = card["state"].get("precision")
        if scaler:
            self.fabric.strategy.precision.load_state_dict(scaler)
        self._seconds = card["state"]["seconds"]
        best = card["state"]["best"]
        self._best = {
            "step": best["step"],
            "validation": math.inf if best["validation"] is None else best["validation"],
        }
        self._history = [
            json.loads(line) for line in (self.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        self._history = [line for line in self._history if line["step"] <= card["state"]["step"]]
        return int(card["state"]["step"])

    def _save(self, step: int, best: dict[str, Any], history: list[dict[str, Any]]) -> None:
        if not self.fabric.is_global_zero:
            return
        # The log first: a kill between the two leaves lines after the checkpoint's step, which resuming cuts off.
        write_text(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in history))
        state = {
            "step": step,
            "best": _finite(best),
            "seconds": round(self._trained_for(), 1),
            "precision": self.fabric.strategy.precision.state_dict(),
        }
        tensors = checkpoints.module_tensors(self.modules) | checkpoints.optimizer_tensors(self.optimizers)
        broken = next((name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())), None)
        if broken is not None:  # a finite loss may have an infinite gradient; the last good checkpoint stays
            raise TrainingStopped(f"{broken} is not finite after step {step}; {_kept(self.folder)}")
        checkpoints.save(self.folder / "last.safetensors", tensors, {**self.card, "state": state})

    def _write_model(self, best: dict[str, Any]) -> None:
        if self.fabric.is_global_zero:
            card = {
                **self.card,
                "config": dict(self.config),
                "chosen": _finite(best),
                "versions": checkpoints.versions(),
                **circumstances(self.fabric, self._trained_for()),
            }
            checkpoints.save(self.model_path, checkpoints.module_tensors(self.deployed), card)

    def _trained_for(self) -> float:
        """Seconds, those before an interruption included."""
        return self._seconds + time.perf_counter() - self._began


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


def polynomial(rate: float, step: int, steps: int, power: float = 0.9) -> float:
    """Learning rate that falls from `rate` to zero as (1 - step / steps)^0.9."""
    return rate * (1 - step / steps) ** power


def _finite(best: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isinf(value) else value for key, value in best.items()}
