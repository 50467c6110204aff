"""A dry run: rehearse all trainings of a method, say what the whole would cost, and leave nothing behind."""

from __future__ import annotations

import shutil
from dataclasses import replace

import torch

from sdcda_tutorial.datasets.batches import default_workers
from sdcda_tutorial.errors import TrainingStopped
from sdcda_tutorial.experiments.pipeline import Experiment
from sdcda_tutorial.training.rehearsal import STEPS, Rehearsal, duration, size


def dry_run(experiment: Experiment, method: str, *, resume: bool = False) -> str:
    """Rehearse `experiment.train(method)` and report, in lines of text.

    Raises:
        InputError: what the training would raise too.
        TrainingStopped: a loss of these steps is not finite.
    """
    hardware = experiment.hardware
    on_gpu = hardware.launch().device.type == "cuda"
    rehearsal = Rehearsal(default_workers(on_gpu) if hardware.workers is None else hardware.workers)
    tried = replace(experiment, hardware=replace(hardware, workers=0), rehearsal=rehearsal)
    try:
        tried.train(method, resume=resume)
    except FloatingPointError as error:
        raise TrainingStopped(f"{error} in the dry run; try a lower learning rate or float32") from None
    device = torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    lines = [
        f"dry run of {method}: {STEPS} steps of each training, no run is left behind",
        f"device: {device}; precision {hardware.resolved_precision()}; {rehearsal.workers} workers",
        *rehearsal.notes,
        *(line for stage in rehearsal.measured for line in stage.lines()),
    ]
    total = sum(stage.seconds for stage in rehearsal.measured)
    needed = sum(stage.disk for stage in rehearsal.measured)
    there = next(path for path in (experiment.folder.resolve(), *experiment.folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    lines.append(f"in all: {duration(total)}, {size(needed)} of disk ({size(free)} are free)")
    if free < needed:
        lines.append("this is more than is free: make room, or choose another `folder`")
    return "\n".join(lines)
