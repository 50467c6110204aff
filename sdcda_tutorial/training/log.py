"""The log of a run, one line of JSON a logged step; and what a run leaves besides where one asks for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import write_text


@dataclass(frozen=True)
class Records:
    """What a run leaves beside what it needs; none of it changes the result.

    Attributes:
        keep: keep the models of the last so many epochs; 0 for none.
        tensorboard: write the log for TensorBoard too.
    """

    keep: int = 0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.tensorboard:
            require_tensorboard()


class Log:
    """What `Run` writes down about its steps.

    Args:
        folder: gets metrics.jsonl and, with `tensorboard`, a folder tensorboard/.
        start: the run goes on after this step; lines of later steps, which a killed run may have left, are cut off.
    """

    def __init__(self, folder: Path, start: int, *, tensorboard: bool = False) -> None:
        self.path = folder / "metrics.jsonl"
        text = self.path.read_text(encoding="utf-8") if start else ""
        self.lines = [line for line in map(json.loads, text.splitlines()) if line["step"] <= start]
        self._writer: Any = None
        if tensorboard:
            # TensorBoard hides what an earlier process wrote from purge_step on: no step shows twice.
            self._writer = _summary_writer()(str(folder / "tensorboard"), purge_step=start + 1)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Values after `step` steps; they reach the file with the next `save`."""
        self.lines.append({"step": step, **{name: round(value, 7) for name, value in values.items()}})
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def save(self) -> None:
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.lines))
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def require_tensorboard() -> None:
    """Raise an InputError where TensorBoard's writer cannot be had."""
    _summary_writer()


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            f"TensorBoard cannot be written ({error}); pip install tensorboard, or drop `tensorboard`"
        ) from None
    return SummaryWriter
