"""The loop of every training: the counter's, the mask model's, CycleGAN's.

It counts steps, shows progress, logs, validates and asks `saving` to save. The step itself is passed to it
(`training.counter_training`, `training.mask_model`, `rivals.translation`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from sdcda_tutorial.datasets.batches import Batches, default_workers
from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset
from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.guards.provenance import difference
from sdcda_tutorial.training.saving import RunFolder

LOG_EVERY = 10  # steps
CHOOSE_FROM = 0.5  # of the steps: earlier models are not candidates
# Against too little memory.
IN_PARTS = (
    "pass batches in parts (`accumulate` 2), compute activations twice (`checkpoint_activations`), "
    "or lower `batch_size`"
)
SETS = "source_data", "target_data"  # what a configuration calls the two domains
SMALLER = "shrink them (`size`) or train on another device"


@dataclass
class Training:
    """One training, ready to run.

    Args:
        run: its folder.
        step: takes a batch of each domain and returns the loss terms, scalars, to be shown and logged; raises
            FloatingPointError where one is not finite.
        domains: batches of each domain; None for a domain that is not needed.
        steps: in all.
        images: in an epoch.
        rates: learning rate of each optimiser at a step.
        description: of the progress bar.
        workers: see `Hardware`.
        after: called with the number of steps done after each of them.
        report: called with the steps done and all steps, before the first and after each, in place of a progress bar.
        validate: error on images, lower is better; computed on `held_out` every `validate_every` steps in the later
            part of the training (`CHOOSE_FROM`), and at the end. The best model is kept; without it the last one is.
        save_every: steps between checkpoints to resume from; by default `validate_every`.
        data: what the configuration says of the data, looked at anew before anything is saved: where it has changed, a
            card would name what the model has not learnt from.
    """

    run: RunFolder
    step: Callable[..., dict[str, Tensor]]
    domains: Sequence[Batches | None]
    steps: int
    images: int
    rates: Callable[[int], dict[str, float]]
    description: str
    workers: int | None = None
    after: Callable[[int], None] | None = None
    report: Callable[[int, int], None] | None = None
    validate: Callable[[CrowdDataset], float] | None = None
    held_out: CrowdDataset | None = None
    validate_every: int = 100
    save_every: int | None = None
    data: Callable[[], Mapping[str, Any]] | None = None

    def finish(self, resume: bool) -> Path:
        """Do all remaining steps and return the path of the chosen model.

        Raises:
            InputError: the folder is in use, or holds another run; or the data changed meanwhile.
            TrainingStopped: a loss, a weight or the validation error became NaN or infinite.
        """
        folder = self.run.folder
        with one_writer(folder, fabric=self.run.fabric, also=[folder / "previews"]), self._workers_live():
            return self._finish(resume)

    def _finish(self, resume: bool) -> Path:
        run, start = self.run, self.run.begin(resume)
        if start > self.steps:
            raise InputError(f"{run.last_path} has done {start} steps of {self.steps}; choose another `folder`")
        run.note_hardware(more=start < self.steps)
        bar = tqdm(
            range(start, self.steps), initial=start, total=self.steps, desc=self.description, unit="step",
            dynamic_ncols=True, disable=self.report is not None or not run.fabric.is_global_zero, mininterval=0.5,
        )  # fmt: skip
        save_every = self.save_every or self.validate_every
        report = self.report or (lambda done, steps: None)
        report(start, self.steps)
        for step, batch in zip(bar, self._read(start), strict=False):
            try:
                terms = self.one_step(step, batch)
            except FloatingPointError as broken:
                raise TrainingStopped(f"{broken} at step {step}; {run.what_is_left()}") from None
            done = step + 1
            if self.after is not None:
                self.after(done)
            report(done, self.steps)
            if run.is_due(done, save_every, self.steps) or run.ends_epoch(done, self.images) or self.validates(done):
                self._refuse_changed_data()
            if done % LOG_EVERY == 0 or done == self.steps:
                values = {name: float(value.detach()) for name, value in terms.items()}
                run.log.add(done, values)
                bar.set_postfix({name: f"{value:.3g}" for name, value in values.items()}, refresh=False)
            if self.validate is not None and self.held_out is not None and self.validates(done):
                with (
                    run.forgetting(SETS[0]),
                    enough_memory("whole images to validate with", SMALLER),
                ):
                    error = self.validate(self.held_out)
                run.consider(done, error)
            run.keep_epoch(done, self.images)
            if run.is_due(done, save_every, self.steps):
                run.save(done)
        run.log.close()
        # A finished run that is begun again keeps its file: others may know it by its digest.
        if self.validate is None and (start < self.steps or not run.holds_last_model()):
            run.write_model(run.model_path, {"step": self.steps, "validation": None})
        run.fabric.barrier()  # no process goes on to read the model before it is written
        return run.model_path

    def _refuse_changed_data(self) -> None:
        now = {} if self.data is None else dict(self.data())
        if changed := difference({name: self.run.config[name] for name in now}, now):
            raise InputError(
                f"{self.run.folder} has learnt from data that has changed since: {changed}; train in another `folder`"
            )

    def batches(self, start: int) -> Iterator[tuple[Any, ...]]:
        """The batches of all domains, on the device, from step `start` on."""
        return zip(*self._loaded(start), strict=False)

    def _read(self, start: int) -> Iterator[tuple[Any, ...]]:
        """As `batches`; where a set is broken, the run can go on with what that set is then."""
        names = SETS if len(self.domains) > 1 else ("boxes_data",)
        return zip(*map(self._forgetting, self._loaded(start), names), strict=False)

    def _forgetting(self, loaded: Iterator[Any], data: str) -> Iterator[Any]:
        with self.run.forgetting(data):
            yield from loaded

    @contextmanager
    def _workers_live(self) -> Iterator[None]:
        """Where a process that prepares batches was killed, a TrainingStopped; torch tells it in many ways."""
        try:
            yield
        except (RuntimeError, ConnectionError, EOFError) as error:
            if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
                raise
            what = "a process that prepares batches was killed: was there memory enough? Give fewer `workers`"
            raise TrainingStopped(f"{what}; {self.run.what_is_left(hint='')}") from None

    def _loaded(self, start: int) -> list[Iterator[Any]]:
        fabric = self.run.fabric
        on_gpu = fabric.device.type == "cuda"
        workers = default_workers(on_gpu) if self.workers is None else self.workers
        # All loaders now, not at the first `next`: a new one draws from torch's generator, which steps have seeded.
        return [
            itertools.repeat(None) if domain is None
            else map(fabric.to_device, domain.from_step(start, self.steps, workers=workers, pin_memory=on_gpu))
            for domain in self.domains
        ]  # fmt: skip

    def one_step(self, step: int, batch: Sequence[Any]) -> dict[str, Tensor]:
        """Set the learning rates, seed the random numbers of the step, and take it."""
        for name, rate in self.rates(step).items():
            for group in self.run.optimizers[name].param_groups:
                group["lr"] = rate
        # Dropout draws from torch's generator: seeded by the step, a resumed run draws what the unbroken one did. Each
        # process has other images, so it draws for itself.
        seed, rank = int(self.run.config["seed"]), self.run.fabric.global_rank
        torch.manual_seed((seed * 1_000_003 + step + 500_009 * rank) % 2**63)
        with enough_memory(f"step {step}", IN_PARTS):
            return self.step(*batch)

    def validates(self, done: int) -> bool:
        """Whether the model is validated after so many steps."""
        return done == self.steps or (done % self.validate_every == 0 and done >= CHOOSE_FROM * self.steps)


@contextmanager
def enough_memory(what: str, remedy: str) -> Iterator[None]:
    """Where the GPU's memory is too small, a TrainingStopped in one line."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise TrainingStopped(f"the GPU's memory is too small for {what}; {remedy}") from None


def require_finite(terms: Mapping[str, Tensor]) -> None:
    """Raise a FloatingPointError that names the term before a NaN or infinite loss reaches the weights."""
    values = torch.stack([term.detach().float() for term in terms.values()])
    if bool(torch.isfinite(values).all()):
        return
    wrong = next(name for name, value in zip(terms, values.tolist(), strict=True) if not math.isfinite(value))
    raise FloatingPointError(f"the {wrong} loss is not finite")
