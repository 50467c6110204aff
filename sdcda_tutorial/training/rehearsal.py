"""A rehearsal: two real steps of a training, measured, and nothing written.

It runs the code of the training, with `measure` in place of `Training.finish`. Errors of a first step show at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sdcda_tutorial import masks
from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.loop import Training

STEPS = 2  # the first warms up: memory is reserved, kernels are chosen or compiled


@dataclass(frozen=True)
class Measured:
    """One training of the run, as measured. Times in seconds, sizes in bytes.

    Attributes:
        images, held_out: to train on, and kept back to choose the model.
        start, steps: steps done already (of a resumed run), and in all.
        crop: (height, width).
        loading: for a batch of every domain, prepared by one process.
        step_times: of the steps taken; empty where none was left.
        validation: per held-out image; `validations` of all these images are to come.
        memory, memory_of: peak, and whose: the GPU's tensors, or else this whole process.
        last, model: sizes of the checkpoints; `kept` models of epochs besides.
    """

    name: str
    images: int
    held_out: int
    start: int
    steps: int
    batch_size: int
    crop: tuple[int, int]
    loading: float
    step_times: tuple[float, ...]
    validation: float
    validations: int
    memory: int | None
    memory_of: str
    last: int
    model: int
    kept: int
    workers: int

    @property
    def seconds(self) -> float:
        """Of all that is left to do. Workers load while the device computes; without them it waits."""
        if not self.step_times:
            return 0.0
        loading, step = self.loading / max(1, self.workers), self.step_times[-1]
        each = max(loading, step) if self.workers else loading + step
        return (self.steps - self.start) * each + self.validations * self.held_out * self.validation

    @property
    def disk(self) -> int:
        """Largest size of the folder: while a file is replaced, old and new are both there."""
        return self.last + (1 + self.kept) * self.model + max(self.last, self.model)

    def lines(self) -> list[str]:
        """For the report."""
        epochs = self.steps * self.batch_size / self.images
        held_out = f", {self.held_out} held out" if self.held_out else ""
        title = (
            f"{self.name}: {self.steps} steps of {self.batch_size} images per domain at {self.crop[0]}x{self.crop[1]}, "
            f"{epochs:.4g} epochs of {self.images} images{held_out}"
        )
        if not self.step_times:
            return [title, "  all steps are done already"]
        waits = f"hidden behind the steps by {self.workers} workers" if self.workers else "which the steps wait for"
        done = f" for the {self.steps - self.start} steps that are left" if self.start else ""
        kept = f", {self.kept} epochs {size(self.kept * self.model)}" if self.kept else ""
        parts = f"checkpoint {size(self.last)}, model {size(self.model)}{kept}, and room to replace one"
        rows = {
            "step": f"{self.step_times[-1]:.3g} s (the first, a warm-up, {self.step_times[0]:.3g} s)",
            "loading": f"{self.loading:.3g} s per batch in one process, {waits}",
            "peak memory": f"{'unknown here' if self.memory is None else size(self.memory)} {self.memory_of}",
            "validation": f"{self.validations} times, {self.validation:.3g} s per image" if self.validations else "",
            "time": f"{duration(self.seconds)}{done}",
            "disk": f"{size(self.disk)} at most ({parts})",
        }
        return [title, *(f"  {name:<16}{text}" for name, text in rows.items() if text)]


class Rehearsal:
    """Stands in for the runs of an experiment and collects the measurements.

    Args:
        workers: of the rehearsed run; here all batches are prepared in this process, to be timed.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.measured: list[Measured] = []
        self.notes: list[str] = []

    def measure(self, training: Training, resume: bool) -> Path:
        """Take two steps of a training, note what they cost, and return the path that its model would have."""
        run, fabric = training.run, training.run.fabric
        last = run.find(resume)
        start = 0 if last is None else int(checkpoints.read_card(last)["state"]["step"])
        on_gpu = fabric.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        batches = training.batches(start)
        loading, step_times = [], []
        for step in range(start, min(training.steps, start + STEPS)):
            batch, seconds = _timed(lambda: next(batches), on_gpu)
            loading.append(seconds)
            step_times.append(_timed(partial(training.one_step, step, batch), on_gpu)[1])
        validation, validations, held_out = 0.0, 0, training.held_out
        if training.validate is not None and held_out is not None and step_times:
            validation = _timed(partial(training.validate, held_out.subset([0])), on_gpu)[1]
            validation /= fabric.world_size  # the processes share the images
            validations = sum(training.validates(done) for done in range(start + 1, training.steps + 1))
        model = checkpoints.module_tensors(run.deployed)
        everything = checkpoints.module_tensors(run.modules) | checkpoints.optimizer_tensors(run.optimizers)
        last_bytes, model_bytes = (sum(tensor.nbytes for tensor in them.values()) for them in (everything, model))
        window = run.config.get("source") or run.config["augmentation"]
        self.measured.append(
            Measured(
                training.description, training.images, len(held_out or ()), start, training.steps,
                run.config["batch_size"], tuple(window["crop"]),
                sum(loading) / max(1, len(loading)), tuple(step_times), validation, validations,
                torch.cuda.max_memory_allocated() if on_gpu else peak_of_this_process(),
                "of the GPU" if on_gpu else "of this process so far",
                last_bytes, model_bytes, run.records.keep, self.workers,
            )
        )  # fmt: skip
        return run.model_path

    def finds_masks(self, model: Path, target: CrowdDataset, folder: Path) -> bool:
        """Whether all pseudo-masks are there; if not, it is noted. A mask model that is there is opened."""
        missing = [name for name in target.names if not masks.path_of(folder, name).exists()]
        if model.exists():
            checkpoints.load_segmenter(model)
        if missing:
            self.notes.append(
                f"pseudo-masks: {len(missing)} of {len(target)} do not exist yet, so the last training was rehearsed "
                "with empty masks"
            )
        return not missing

    def finds_translated(self, source: CrowdDataset, folder: Path) -> bool:
        """Whether the translated source is there; if not, it is noted."""
        if not folder.exists():
            self.notes.append(
                f"translated source: {len(source)} images are still to be translated and written before the counter's "
                "training, which took the source as it is here in their place"
            )
        return folder.exists()


def _timed(work: Callable[[], Any], on_gpu: bool) -> tuple[Any, float]:
    began = time.perf_counter()
    result = work()
    if on_gpu:
        torch.cuda.synchronize()
    return result, time.perf_counter() - began


def peak_of_this_process() -> int | None:
    """Peak resident memory of this process, in bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def size(count: float) -> str:
    """Bytes for a reader."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"


def duration(seconds: float) -> str:
    """Seconds for a reader."""
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    days, hours = minutes // 1440, minutes // 60 % 24
    return (f"{days} d " if days else "") + (f"{hours} h " if hours or days else "") + f"{minutes % 60} min"
