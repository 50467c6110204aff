"""How the picture of a demo follows its controls: the newest values only, without laying the figure out again."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from sdcda_tutorial.teaching.notebook import DPI, JPEG, MARGIN

PAUSE = 0.02  # seconds without a move after which the picture is drawn; a message that waits takes 1 or 2 ms to read


class Latest:
    """Calls `draw` after a move of a control, once for all moves that are waiting.

    In a kernel every move is a message, and those that come while a picture is drawn wait in a queue. Drawn one by one,
    they would fall further and further behind the hand. So a move only asks for a picture; the event loop first reads
    the messages that wait, for as long as the last picture took at most. Without a running loop, in a plain script,
    `draw` is called at once.
    """

    def __init__(self, draw: Callable[[], None]) -> None:
        self._draw = draw
        self._moves = 0
        self._took = 0.0  # seconds, by the last picture
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> None:
        self._moves += 1
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._draw()
            return
        # A kernel may give its widgets a thread with a loop of its own, and end it with their page.
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._task = loop.create_task(self._draw_when_still())

    async def _draw_when_still(self) -> None:
        began, seen = time.perf_counter(), -1
        while seen != self._moves and time.perf_counter() - began <= max(PAUSE, self._took):
            seen = self._moves
            await asyncio.sleep(PAUSE)
        began = time.perf_counter()
        self._draw()
        self._took = time.perf_counter() - began


class Redrawing:
    """Turns the figures of one demo into JPEGs that look as `notebook.picture` would have them, in half of its time.

    matplotlib spends most of its time on finding out how large every label is. So a figure is laid out, and the next
    ones take over where everything stands, as long as they have its size, its axes and images of the same sizes, their
    ticks have no longer labels and their titles no more lines; nothing jumps under the hand either. All are drawn by
    the same canvas, which remembers how large a text is.
    """

    def __init__(self) -> None:
        self._last: tuple[object, FigureCanvasAgg, Layout] | None = None

    def picture(self, figure: Figure) -> bytes:
        """The figure as a JPEG; closes the figure."""
        plt.close(figure)
        figure.set_dpi(DPI)
        engine, images = figure.get_layout_engine(), [image for axis in figure.axes for image in axis.images]
        shape = (*figure.get_size_inches(), len(figure.axes), len(figure.texts), *(one.get_size() for one in images))
        canvas, layout = FigureCanvasAgg(figure), None
        if self._last is not None and self._last[0] == shape:
            _, canvas, layout = self._last
        figure.set_canvas(canvas)
        canvas.figure = figure
        if layout is not None:
            layout.put(figure)
        canvas.draw()
        if layout is None or any(now > then for now, then in zip(lengths(figure), layout.lengths, strict=True)):
            figure.set_layout_engine(engine)
            canvas.draw()
            layout = Layout(figure)
            self._last = shape, canvas, layout
        file = io.BytesIO()
        Image.fromarray(np.asarray(canvas.buffer_rgba())[layout.part][..., :3]).save(file, "JPEG", **JPEG)
        return file.getvalue()


class Layout:
    """Where a figure that was drawn has its axes and its texts, and in which part of it anything is drawn."""

    def __init__(self, figure: Figure) -> None:
        self.lengths = lengths(figure)
        self._axes = [(a.get_position(original=True), a.get_anchor(), a.get_box_aspect()) for a in figure.axes]
        self._texts = [text.get_position() for text in figure.texts]
        left, bottom, right, top = (round(DPI * edge) for edge in figure.get_tightbbox().padded(MARGIN).extents)
        height = round(DPI * figure.get_figheight())
        self.part = slice(max(0, height - top), height - max(0, bottom)), slice(max(0, left), max(0, right))

    def put(self, figure: Figure) -> None:
        """Lay another figure out in the same way."""
        figure.set_layout_engine("none")
        for axis, (position, anchor, aspect) in zip(figure.axes, self._axes, strict=True):
            axis.set_position(position, "original")
            axis.set_in_layout(True)  # matplotlib leaves an axis out whose position was set
            axis.set_anchor(anchor)  # this and the next are a colour bar's
            axis.set_box_aspect(aspect)
        for text, place in zip(figure.texts, self._texts, strict=True):
            text.set_position(place)


def lengths(figure: Figure) -> list[int]:
    """Letters in the longest label of each axis, x and y, and lines of each title, of a figure that was drawn."""
    axes = [axis for both in figure.axes for axis in (both.xaxis, both.yaxis)]
    ticks = ([*axis.majorTicks, *axis.minorTicks] for axis in axes)
    labels = [max((len(tick.label1.get_text()) for tick in those), default=0) for those in ticks]
    return labels + [axis.get_title().count("\n") for axis in figure.axes]
