"""The standard streams of a program whose reader may go away before the work is done."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class Output(io.FileIO):
    """A standard stream that drops what can no longer be written, so that the work goes on.

    Attributes:
        trouble: why something was dropped; None where nothing was, or where nobody reads any more (`| head`).
    """

    trouble: OSError | None = None
    _dropping = False

    def write(self, data: Any, /) -> int:
        if not self._dropping:
            try:
                return super().write(data)
            except BrokenPipeError:
                self._dropping = True
            except OSError as error:
                self._dropping, self.trouble = True, error
        return len(data)


def protect(name: str) -> Output | None:
    """Make sys.stdout or sys.stderr such a stream, where it leads out of this process, and able to print any text."""
    stream = getattr(sys, name)
    if stream is None:  # closed by who started the program: nobody wants to read it
        setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (for the rest of the program)
    if not isinstance(stream, io.TextIOWrapper):
        return None
    stream.reconfigure(errors="backslashreplace")  # a Western Windows has no λ, and no terminal has half a character
    if stream is not getattr(sys, f"__{name}__") or type(getattr(stream.buffer, "raw", stream.buffer)) is not io.FileIO:
        return None
    stream.flush()
    output = Output(stream.fileno(), "w", closefd=False)
    text = io.TextIOWrapper(
        io.BufferedWriter(output), stream.encoding, stream.errors,
        line_buffering=stream.line_buffering, write_through=stream.write_through,
    )  # fmt: skip
    setattr(sys, name, text)
    return output
