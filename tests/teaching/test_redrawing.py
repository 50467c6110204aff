"""Pictures that follow a hand: only the newest is drawn, and it looks as one that was laid out for itself."""

from __future__ import annotations

import asyncio
import io
import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
from jupyter_client import KernelManager
from matplotlib.figure import Figure
from PIL import Image

from sdcda_tutorial.teaching import notebook
from sdcda_tutorial.teaching.demos import explore, slider
from sdcda_tutorial.teaching.demos.redrawing import PAUSE, Latest, Redrawing
from sdcda_tutorial.teaching.notebook import DPI, MARGIN


class Hand:
    """A control with a slow picture: what was drawn."""

    def __init__(self, seconds: float) -> None:
        self.value, self.drawn, self.seconds = 0, [], seconds
        self.latest = Latest(self.draw)

    def draw(self) -> None:
        time.sleep(self.seconds)
        self.drawn.append(self.value)

    def move(self, value: int) -> None:
        self.value = value
        self.latest.ask()


def test_without_a_loop_every_move_is_drawn_at_once() -> None:
    hand = Hand(0)
    for value in (1, 2, 3):
        hand.move(value)
    assert hand.drawn == [1, 2, 3]


def test_of_the_moves_that_wait_only_the_last_is_drawn() -> None:
    async def drag(hand: Hand) -> None:
        for value in range(1, 101):  # a hundred messages in a queue, as a kernel reads them: one in each turn
            hand.move(value)
            await asyncio.sleep(0.0005)
        await asyncio.sleep(3 * PAUSE + 2 * hand.seconds)

    hand = Hand(0.2)
    asyncio.run(drag(hand))
    assert hand.drawn[-1] == 100 and len(hand.drawn) <= 4


def test_a_hand_that_never_rests_sees_pictures_all_the_same() -> None:
    async def drag(hand: Hand) -> None:
        for value in range(1, 101):
            hand.move(value)
            await asyncio.sleep(PAUSE / 4)
        await asyncio.sleep(0.3)

    hand = Hand(0.01)
    asyncio.run(drag(hand))
    assert len(hand.drawn) > 3 and hand.drawn == sorted(hand.drawn) and hand.drawn[-1] == 100


def test_a_loop_that_ended_before_it_drew_is_not_waited_for() -> None:
    async def move(hand: Hand, value: int, seconds: float) -> None:
        hand.move(value)
        await asyncio.sleep(seconds)

    hand, ended = Hand(0), asyncio.new_event_loop()
    ended.run_until_complete(move(hand, 1, 0))
    asyncio.run(move(hand, 2, 5 * PAUSE))
    assert hand.drawn == [2]
    ended.run_until_complete(asyncio.sleep(2 * PAUSE))
    ended.close()


def lines(height: float, titled: str = "a title") -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(6, 2), layout="constrained")
    left.plot([0, 1], [0, height])
    left.set(title=titled, ylabel="people")
    shown = right.imshow([[0, height], [height / 2, 0]])
    figure.colorbar(shown, ax=right, label="value")
    figure.supxlabel("a note")
    return figure


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture))).astype(int)


def differ(one: bytes, other: bytes) -> float:
    """Share of the pixels that are clearly not the same."""
    assert pixels(one).shape == pixels(other).shape
    return float((np.abs(pixels(one) - pixels(other)).max(axis=2) > 60).mean())


def test_a_redrawn_figure_is_the_one_that_is_laid_out() -> None:
    redrawing = Redrawing()
    redrawing.picture(lines(3.0, "another title"))
    assert redrawing.picture(lines(3.0)) == Redrawing().picture(lines(3.0))
    shape, whole = pixels(redrawing.picture(lines(3.0))).shape, pixels(notebook.picture(lines(3.0))).shape
    assert all(0 <= one - other <= 2 * DPI * MARGIN + 1 for one, other in zip(whole[:2], shape[:2], strict=True))


def test_longer_labels_are_given_room() -> None:
    """With 30,000 people the labels are wider: as laid out for themselves, not cut."""
    redrawing, alone = Redrawing(), Redrawing().picture(lines(30_000.0))
    small, large = (redrawing.picture(lines(height)) for height in (3.0, 30_000.0))
    assert differ(large, alone) < 0.005
    assert differ(redrawing.picture(lines(30_000.0)), alone) < 0.005
    assert differ(small, Redrawing().picture(lines(3.0))) == 0
    assert differ(redrawing.picture(lines(3.0)), small) > 0.01  # nothing jumps back


def test_a_figure_of_another_size_is_laid_out_anew() -> None:
    redrawing = Redrawing()
    redrawing.picture(lines(3.0))
    figure = Figure(figsize=(3, 3))
    figure.subplots().plot([0, 1])
    assert pixels(redrawing.picture(figure)).shape[0] > 250


def test_an_image_of_another_shape_is_not_cut() -> None:
    """In a figure of the same size it is wider, and what was drawn of the first one would be too little."""

    def shown(width: int) -> Figure:
        figure = Figure(figsize=(5, 4), layout="constrained")
        figure.subplots().imshow(np.zeros((100, width)))
        return figure

    redrawing = Redrawing()
    narrow, wide = (pixels(redrawing.picture(shown(width))).shape[1] for width in (30, 60))
    assert wide > 1.4 * narrow and wide == pixels(Redrawing().picture(shown(60))).shape[1]


def test_a_picture_that_waits_says_so() -> None:
    """By a class, for whoever looks at the page."""

    async def move() -> None:
        box = explore(lambda height: lines(height), {"height": slider("height", 1, 0, 9, 1)})
        height, image, _ = box.children
        assert "sdcda-stale" not in image._dom_classes
        before = image.value
        height.value = 5
        assert "sdcda-stale" in image._dom_classes and image.value == before
        for _ in range(500):
            await asyncio.sleep(0.01)
            if "sdcda-stale" not in image._dom_classes:
                break
        assert "sdcda-stale" not in image._dom_classes and image.value != before

    asyncio.run(move())


DEMO = """
import time
from matplotlib.figure import Figure
from sdcda_tutorial.teaching.demos import explore, slider
drawn = []
def render(value):
    drawn.append(value)
    time.sleep(0.2)
    return Figure(figsize=(1, 1))
box = explore(render, {"value": slider("value", 0, 0, 99, 1)})
print(box.children[0].comm.comm_id, len(box.children[1].value) > 100)
"""


@pytest.mark.slow
def test_a_kernel_draws_the_last_of_fifty_messages() -> None:
    """As from a page that does not wait for the kernel. The first picture is there when the cell ends."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        said: list[str] = []

        def hear(message: dict) -> None:
            said.append(message["content"].get("text", "") or str(message["content"].get("evalue", "")))

        def run(code: str) -> str:
            said.clear()
            client.execute_interactive(code, timeout=60, output_hook=hear)
            return "".join(said)

        comm, drawn = run(DEMO).split()
        assert drawn == "True"
        for value in range(1, 51):
            state = {"method": "update", "state": {"value": value}, "buffer_paths": []}
            client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": comm, "data": state}))
        run("import asyncio; await asyncio.sleep(2)")
        values = [int(value) for value in run("print(*drawn)").split()]
        assert values[-1] == 50 and len(values) <= 6, values
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
