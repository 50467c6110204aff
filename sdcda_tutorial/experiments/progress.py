"""A bar for the training that goes on, with the minutes that all trainings of a demo still take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from tqdm.auto import tqdm

ENOUGH = 5.0  # seconds of steps from which to judge: the first steps are slower than the others
MEMORY = 120.0  # seconds after which a step counts 1/e: a machine may become busy, or idle


class Work(NamedTuple):
    """Seconds that a training took on one machine; on another only their ratios matter.

    Attributes:
        training: its steps, with the validations between them.
        after: what follows it and is no training, such as counting the test images.
    """

    training: float
    after: float = 0.0


# As the demo comes to them, named as their bars are; in seconds of one core, whatever else the machine had to do.
DEMO = {"warm start": Work(86), "noadapt": Work(29, 17), "mask model": Work(60, 6), "se+fd": Work(59, 17)}


class Progress:
    """Takes what `Experiment.report` is called with and shows it; finished trainings are passed over in silence.

    What is left in minutes is the work that is left at the pace of this run's last steps (see `MEMORY`).
    """

    def __init__(self, work: dict[str, Work], clock: Callable[[], float] = time.monotonic) -> None:
        self._work, self._clock = work, clock
        self._seconds, self._done = 0.0, 0.0  # what the last steps have taken here, and what they are worth in `work`
        self._training, self._step, self._last = "", 0, 0.0
        self._bar = tqdm(disable=True)

    def __call__(self, training: str, step: int, steps: int) -> None:
        now = self._clock()
        if training != self._training:
            self._begin(training, step, steps)
        else:
            kept = math.exp((self._last - now) / MEMORY)
            self._seconds = kept * self._seconds + now - self._last
            self._done = kept * self._done + self._work[training].training * (step - self._step) / steps
        self._bar.update(step - self._bar.n)
        self._training, self._step, self._last = training, step, now
        if (minutes := self.minutes_left(steps)) is not None:
            self._bar.set_postfix_str(f"about {math.ceil(minutes)} min left in all", refresh=False)
        if step == steps:
            self.close()

    def minutes_left(self, steps: int) -> float | None:
        """Of the training that goes on, of `steps` steps, and of all that follows; None in the first seconds."""
        if self._seconds < ENOUGH:
            return None
        names = list(self._work)
        later = [self._work[name] for name in names[names.index(self._training) + 1 :]]
        now = self._work[self._training]
        left = now.training * (1 - self._step / steps) + now.after + sum(sum(one) for one in later)
        return left * self._seconds / self._done / 60

    def _begin(self, training: str, step: int, steps: int) -> None:
        self.close()
        number = list(self._work).index(training) + 1
        self._bar = tqdm(
            initial=step, total=steps, desc=f"{number} of {len(self._work)}, {training}", unit="step",
            dynamic_ncols=True, mininterval=0.5, disable=step == steps,
        )  # fmt: skip

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()
