"""What a run saves and when, and how it resumes after an interruption.

A run folder holds

    config.json         what was asked for
    metrics.jsonl       one line of JSON per logged step
    last.safetensors    weights, optimisers and step: everything to resume from
    model.safetensors   the weights chosen by validation, to be used afterwards
    epoch_0012.safetensors, tensorboard/    where asked for: the weights after an epoch, the log for TensorBoard
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.files import json_digest, parse_json, read_json, read_object, regular_file, write_json, write_text
from sdcda_tutorial.guards.provenance import (
    RECORDED_LATER,
    contents_of,
    difference,
    forgetting_contents,
    without_contents,
)
from sdcda_tutorial.numbers import check_numbers
from sdcda_tutorial.training import checkpoints

if TYPE_CHECKING:
    from lightning_fabric import Fabric  # slow to import

SAVE_AFTER = 300.0  # seconds without a checkpoint, whatever the number of steps: what a kill may cost


@dataclass(frozen=True)
class Records:
    """What a run leaves besides the files it needs; none of it changes the result.

    Attributes:
        keep: keep the models of the last so many epochs; 0 for none.
        tensorboard: write the log for TensorBoard too.
    """

    keep: int = 0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.tensorboard:
            summary_writer()


def summary_writer() -> Any:
    """TensorBoard's class; an InputError where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            f"TensorBoard cannot be written ({error}); pip install tensorboard, or drop `tensorboard`"
        ) from None
    return SummaryWriter


def read_log(path: str | Path) -> list[dict[str, float]]:
    """The lines of a metrics.jsonl: loss terms at some steps, validation errors at others.

    Raises:
        InputError: a line is damaged; it is named.
    """
    try:
        text = Path(regular_file(path)).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; restore it or train again") from None
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            values = dict(parse_json(line))
            sound = isinstance(values["step"], int) and all(isinstance(value, int | float) for value in values.values())
        except (ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            raise InputError(f"{path} is damaged in line {number}; restore it or train again") from None
        lines.append(values)
    return lines


class Log:
    """metrics.jsonl and, with `tensorboard`, tensorboard/ in a folder.

    Args:
        start: the run goes on after this step; lines of later steps, which a killed run may have left, are cut off.
        wanted: the digest that the log had after this step; None: it is not known.
    Raises:
        InputError: the log is missing, damaged, or of another run.
    """

    def __init__(self, folder: Path, start: int, *, wanted: str | None = None, tensorboard: bool = False) -> None:
        self.path = folder / "metrics.jsonl"
        self.lines = [line for line in read_log(self.path) if line["step"] <= start] if start else []
        if wanted not in (None, self.digest()):
            raise InputError(f"{self.path} is not the log of this run up to step {start}; restore it or train again")
        # TensorBoard hides what an earlier process wrote from purge_step on: no step shows twice.
        where = str(folder / "tensorboard")
        self._writer: Any = summary_writer()(where, purge_step=start + 1) if tensorboard else None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Values after `step` steps; they reach the file with the next `save`."""
        self.lines.append({"step": step, **{name: round(value, 7) for name, value in values.items()}})
        for name, value in values.items() if self._writer else ():
            self._writer.add_scalar(name, value, step)

    def save(self) -> None:
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.lines))
        if self._writer:
            self._writer.flush()

    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.lines).encode()).hexdigest()[:16]

    def close(self) -> None:
        if self._writer:
            self._writer.close()


def refuse_lone_model(folder: Path) -> None:
    """Raise an InputError for a model in the folder of a run without what the run would go on from.

    Every run writes last.safetensors before its first model: so somebody has put it there, or removed the other file.
    """
    model, last = folder / "model.safetensors", folder / "last.safetensors"
    if last.exists():
        return
    if (folder / "config.json").exists():
        if model.exists():
            fix = f"restore that, or move {model.name} away to train anew"
            raise InputError(f"{model} is there, but not {last.name}, from which its run goes on; {fix}")
        return
    for path in (model, *sorted(folder.glob("epoch_[0-9]*.safetensors")), folder / "metrics.jsonl"):
        if path.exists():
            raise InputError(f"{path} is of no run that is known here; move it away or choose another `folder`")


@dataclass
class RunFolder:
    """The files of one training.

    Args:
        folder: where everything is written; new, unless the run is resumed.
        config: what was asked for, JSON-able; a resumed run must ask for the same.
        card: what the checkpoints say about themselves (architecture, data, ...).
        modules: all that training changes, by name: the content of last.safetensors.
        deployed: the content of model.safetensors, by name.
        optimizers: by name.
        rests_on: folder of the run in whose weights this one began, where both learn from the same source.
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
    rests_on: Path | None = None

    def __post_init__(self) -> None:
        # As in the file: tuples become lists, and NumPy's numbers plain ones.
        self.config = json.loads(json.dumps(self.config, default=lambda number: number.item()))
        self.model_path, self.last_path = self.folder / "model.safetensors", self.folder / "last.safetensors"
        self.config_path = self.folder / "config.json"

    def begin(self, resume: bool) -> int:
        """Open a new folder, or go on in an old one; the number of steps already done.

        Raises:
            InputError: the folder is in use and `resume` was not asked for, or it belongs to another configuration.
        """
        last = self.find(resume)
        self.fabric.barrier()  # every process has looked before the first one writes
        if last is None:
            self._write_config()
        self._asked = self._asked_digest()
        self.best: dict[str, Any] = {"step": 0, "validation": None}
        step, self._seconds, self._logged = 0, 0.0, None
        self._on: list[dict[str, Any]] = []
        self._held: list[dict[str, Any]] = []
        if last is not None:
            step = checkpoints.build(partial(self._restore, last), last)
            self._require_chosen_model(step)
        changed = last is not None and self._notes_contents(step)
        self._began = self._saved = time.perf_counter()
        self._asked_at = -1, False  # step, and what `is_due` said of it
        tensorboard = self.records.tensorboard and self.fabric.is_global_zero
        self.log = Log(self.folder, step, wanted=self._logged, tensorboard=tensorboard)
        # Before any model: where that lies alone, somebody has put it there. And before config.json knows new contents.
        if last is None or changed:
            self.save(step)
        if last is not None:
            self._write_config()
        return step

    def _write_config(self) -> None:
        """Write what is asked for, where the file does not say it yet or is of a version that knew less of the data."""
        known = read_json(self.config_path) if self.config_path.exists() else None
        self.fabric.barrier()  # every process has looked before the first one writes
        if self.fabric.is_global_zero and known != self.config:
            with suppress(InputError) if known is not None else nullcontext():  # a finished run may be read-only
                write_json(self.config_path, self.config)
        self.fabric.barrier()

    def note_hardware(self, more: bool) -> None:
        """Write down what the steps to come are computed on, if there are `more`.

        A run may go on elsewhere. The reader is told where that changes the figures, by rounding or by batch norm.
        """
        device, on_cpu = self.fabric.device, f"{platform.machine()} CPU, {torch.backends.cpu.get_cpu_capability()}"
        now = {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else on_cpu,
            "processes": self.fabric.world_size,
            "precision": self.fabric.strategy.precision.precision,
            "micro_batches": self.card.get("micro_batches", 1),
        }
        if (self._on and not more) or now in self._on[-1:]:
            return
        for name in ("processes", "precision", "micro_batches") if self._on and self.fabric.is_global_zero else ():
            if (then := self._on[-1].get(name)) != now[name]:
                print(f"note: {self.folder} goes on with {name} {now[name]}, not {then}", file=sys.stderr, flush=True)
        self._on.append(now)

    def _notes_contents(self, step: int) -> bool:
        """Whether a set was mended since these steps (see `forgetting_contents`): noted for the reader and the card.

        Raises:
            InputError: the checkpoint learnt from other contents than the run of this folder.
        """
        asked, mended = contents_of(checkpoints.current_names(read_json(self.config_path))), False
        for name, now in contents_of(self.config).items():
            then = None if self._contents is None else self._contents.get(name)
            if name in asked and then not in (None, now):
                raise InputError(
                    f"checkpoint {self.last_path} is of a run on other contents of the {name}; restore it or choose "
                    "another `folder`"
                )
            if name in asked or then == now:
                continue
            mended = True
            self._held += [{"until_step": step, name: then}] if step else []
            if self.fabric.is_global_zero:
                what = f"{self.folder} goes on with the {name.removesuffix('_data')} as it is now"
                before = "what it held before is not known" if then is None else f"the {step} steps before had another"
                print(f"note: {what}; {before}", file=sys.stderr, flush=True)
        return mended

    @contextmanager
    def forgetting(self, data: str) -> Iterator[None]:
        """If this set is found broken in this block, this run may go on with the mended one, and so may `rests_on`."""
        with ExitStack() as stack:
            for folder in (self.folder, *([] if self.rests_on is None else [self.rests_on])):
                stack.enter_context(forgetting_contents(folder / "config.json", data=data))
            yield

    def _restore(self, last: Path) -> int:
        """Take weights, optimisers and state from a checkpoint; the number of steps it has done."""
        tensors, card = checkpoints.load(last)
        state = card["state"]
        for name, module in self.modules.items():
            checkpoints.load_weights(module, tensors, name, last)
        # Float16 leaves steps out until the loss's scale fits, so an optimiser may have none to be restored.
        moved = {name: one for name, one in self.optimizers.items() if name not in state.get("unmoved", ())}
        checkpoints.restore_optimizers(moved, tensors, last)
        if state["precision"]:
            self.fabric.strategy.precision.load_state_dict(state["precision"])
        best, step = state["best"], int(state["step"])
        self.best, self._seconds = {**best, "step": int(best["step"])}, float(state["seconds"])
        # Earlier versions recorded none of these.
        contents, self._held = state.get("contents"), [dict(one) for one in state.get("contents_before", [])]
        self._contents = None if contents is None else dict(contents)
        self._logged, self._on = state.get("log_sha256"), [dict(one) for one in state.get("hardware", [])]
        if best["validation"] is not None:
            self.best["validation"] = float(best["validation"])
        if step < 0 or not math.isfinite(self.best["validation"] or 0):
            raise ValueError(f"step {step}, validation {self.best['validation']}")
        [int(one["until_step"]) for one in self._held], [one["device"] + one["precision"] for one in self._on]
        return step

    def _require_chosen_model(self, step: int) -> None:
        """Raise an InputError unless model.safetensors is what validation chose up to `step`, or after it.

        A killed run may leave a later choice than its last checkpoint knows of; going on from there makes it again.
        """
        if self.best["validation"] is None:
            return
        wanted, reason = self.best.get("weights_sha256"), "it is the model of another run or step"
        try:
            card = checkpoints.load(self.model_path)[1]
            if wanted == checkpoints.weights_digest(self.model_path):
                return
            later = checkpoints.build(lambda: int(card["chosen"]["step"]), self.model_path) > step
            if (wanted is None or later) and not difference(card.get("config", {}), self.config):
                return
        except InputError as error:
            reason = str(error)
        raise InputError(
            f"{self.model_path}, chosen after step {self.best['step']}, cannot be used: {reason}; restore it, or train "
            "again in another `folder`"
        )

    def holds_last_model(self) -> bool:
        """Whether model.safetensors has the weights of now; an InputError where it is whole and has others."""
        try:
            stored = checkpoints.load(self.model_path)[0]
        except InputError:  # missing or broken: it can be written again
            return False
        ours = checkpoints.module_tensors(self.deployed)
        if stored.keys() == ours.keys() and all(torch.equal(stored[name], ours[name].cpu()) for name in ours):
            return True
        raise InputError(f"{self.model_path} is not the model of this run; move it away, and it is written again")

    def find(self, resume: bool) -> Path | None:
        """The checkpoint to resume from, or None; errors as in `begin`."""
        asked, last = self.config_path, self.last_path
        refuse_lone_model(self.folder)
        if not (asked.exists() or last.exists()):
            return None
        if not asked.exists():
            raise InputError(f"{asked}, by which {last.name} is known, is gone; restore it or choose another `folder`")
        if not resume:
            raise InputError(f"{self.folder} already holds a run; pass `resume` to go on, or choose another `folder`")
        stored = read_object(asked, fix="restore it, or move the folder away to train anew")
        then, now = checkpoints.current_names(stored), self.config
        if new := sorted(now.keys() - then.keys() - set(RECORDED_LATER)):
            raise InputError(f"{asked} is of another version, which knew no {new[0]}; choose another `folder`")
        if other := difference(then, now):
            raise InputError(
                f"{asked} was started with {other}; resume with the same options and data or choose another `folder`"
            )
        if not last.exists():
            return None
        state = checkpoints.read_card(last).get("state")
        if not isinstance(state, dict):
            raise InputError(f"checkpoint {last} holds a model but no state to go on from; choose another `folder`")
        if state.get("config_sha256") not in (None, self._asked_digest()):
            raise InputError(f"checkpoint {last} is not of the run of {asked}; restore it or choose another `folder`")
        return last

    def _asked_digest(self) -> str:
        """Digest of config.json, of whichever version and whatever it knows of the contents of the data."""
        return json_digest(without_contents(checkpoints.current_names(read_object(self.config_path))))

    def consider(self, step: int, validation: float) -> None:
        """Keep the model if its validation error is the lowest so far, of those on what the source holds now."""
        if not math.isfinite(validation):
            raise TrainingStopped(f"the validation error is not finite after step {step}; {self.what_is_left()}")
        self.log.add(step, {"validation": validation})
        mended_since = any("source_data" in one and one["until_step"] >= self.best["step"] for one in self._held)
        if self.best["validation"] is None or mended_since or validation < self.best["validation"]:
            self.best = {"step": step, "validation": validation}
            self.write_model(self.model_path, self.best)
            if self.fabric.is_global_zero:
                self.best["weights_sha256"] = checkpoints.weights_digest(self.model_path)

    def is_due(self, step: int, every: int, steps: int) -> bool:
        """Whether to save: every so many steps, after the last, and where `SAVE_AFTER` seconds have gone by."""
        if step != self._asked_at[0]:  # once a step: time goes on
            late = time.perf_counter() - self._saved > SAVE_AFTER
            self._asked_at = step, step % every == 0 or step == steps or late
        return self._asked_at[1]

    def save(self, step: int) -> None:
        """Write last.safetensors. Last of all of a step: a run that resumes from before it writes the rest again."""
        self._saved = time.perf_counter()
        if not self.fabric.is_global_zero:
            return
        # The log first: a kill between the two leaves lines after the checkpoint's step, which resuming cuts off.
        self.log.save()
        tensors = checkpoints.module_tensors(self.modules) | checkpoints.optimizer_tensors(self.optimizers)
        self._require_finite_weights(tensors, step)
        state: dict[str, Any] = {"step": step, "best": self.best, "seconds": self._trained_for()}
        state["config_sha256"], state["log_sha256"] = self._asked, self.log.digest()
        state["hardware"], state["contents"] = self._on, contents_of(self.config)
        state |= {"contents_before": self._held} if self._held else {}
        state["precision"] = self.fabric.strategy.precision.state_dict()
        state["unmoved"] = [name for name, one in self.optimizers.items() if not one.state_dict()["state"]]
        checkpoints.save(self.last_path, tensors, {**self.card, "state": state})

    def ends_epoch(self, step: int, images: int) -> bool:
        """Whether an epoch that is to be kept ends with this step."""
        seen = self.config["batch_size"]
        return self.records.keep > 0 and step * seen // images > (step - 1) * seen // images

    def keep_epoch(self, step: int, images: int) -> None:
        """Keep the model after an epoch, where asked for; only then delete the one that is too many."""
        epoch = step * self.config["batch_size"] // images
        if not self.ends_epoch(step, images) or not self.fabric.is_global_zero:
            return
        self._require_finite_weights(checkpoints.module_tensors(self.deployed), step)
        path = self.folder / f"epoch_{epoch:04d}.safetensors"
        self.write_model(path, {"step": step, "epoch": epoch, "validation": None})
        for other in self.folder.glob("epoch_*.safetensors"):
            number = other.stem.removeprefix("epoch_")
            if number.isdigit() and int(number) <= epoch - self.records.keep:
                other.unlink()

    def write_model(self, path: Path, chosen: Mapping[str, Any]) -> None:
        """Write the model as it is now, with a card that says how and on what it was trained."""
        if not self.fabric.is_global_zero:
            return
        *before, now = self._on
        card = {
            **self.card,
            "config": self.config,
            "chosen": chosen,
            "versions": checkpoints.versions(),
            "date": datetime.date.today().isoformat(),
            "seconds": self._trained_for(),
            "hardware": now,
            **({"hardware_before": before} if before else {}),
            **({"contents_before": self._held} if self._held else {}),
        }
        checkpoints.save(path, checkpoints.module_tensors(self.deployed), card)

    def what_is_left(self, hint: str = "; try a lower learning rate or float32") -> str:
        """The end of a message: what is left of a run that stopped, and what to try."""
        there = self.last_path.exists() and checkpoints.read_card(self.last_path)["state"]["step"] > 0
        kept = f"the last good checkpoint is {self.last_path}" if there else "no checkpoint had been written yet"
        return kept + hint

    def _require_finite_weights(self, tensors: Mapping[str, Tensor], step: int) -> None:
        broken = next((name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())), None)
        if broken is not None:  # a finite loss may have an infinite gradient; the last good checkpoint stays
            raise TrainingStopped(f"{broken} is not finite after step {step}; {self.what_is_left()}")

    def _trained_for(self) -> float:
        """Seconds, including those before an interruption."""
        return round(self._seconds + time.perf_counter() - self._began, 1)
