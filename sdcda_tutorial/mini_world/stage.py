"""The stage that people stand on: sky, ground and the simple things a background is built from.

All coordinates are pixels of the final image; the stage itself is painted `SCALE` times larger.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from sdcda_tutorial.mini_world.scene import SCALE, Colour, Scene, scaled, shifted
from sdcda_tutorial.mini_world.weather import daylight, sky_colours


class Stage:
    """A canvas with the perspective of one scene.

    Attributes:
        canvas: the RGB picture, SCALE times the size of the scene.
        rng: generator of the scene's drawing, independent of its geometry.
    """

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self.scene, self.rng = scene, rng
        self.height, self.width = scene.size
        self.horizon = scene.horizon
        self.canvas = Image.new("RGB", (self.width * SCALE, self.height * SCALE))
        self.draw = ImageDraw.Draw(self.canvas)

    def row_where(self, body: float) -> float:
        """The row on the ground at which people are `body` pixels tall."""
        return self.horizon + body / self.scene.growth

    def vary(self, colour: Colour, amount: int) -> Colour:
        """`colour` a little lighter or darker and a little off in hue."""
        grey = int(self.rng.integers(-amount, amount + 1))
        hues = self.rng.integers(-(amount // 3), amount // 3 + 1, 3).tolist()
        return shifted(colour, [grey + hue for hue in hues])

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, colour: Colour) -> None:
        left, right = SCALE * (x - radius_x), SCALE * (x + radius_x)
        self.draw.ellipse((left, SCALE * (y - radius_y), right, SCALE * (y + radius_y)), fill=colour)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        if x1 > x0 and y1 > y0:
            self.draw.rectangle((SCALE * x0, SCALE * y0, SCALE * x1, SCALE * y1), fill=colour)

    def polygon(self, corners: list[tuple[float, float]], colour: Colour) -> None:
        self.draw.polygon([(SCALE * x, SCALE * y) for x, y in corners], fill=colour)

    def line(self, x0: float, y0: float, x1: float, y1: float, thickness: float, colour: Colour) -> None:
        ends = (SCALE * x0, SCALE * y0, SCALE * x1, SCALE * y1)
        self.draw.line(ends, fill=colour, width=max(round(SCALE * thickness), 1))

    def sky(self) -> None:
        """A gradient from the top of the picture to the horizon."""
        top, low = (np.array(colour, np.float32) for colour in sky_colours(self.scene))
        rows = max(int(np.ceil(self.horizon * SCALE)), 1)
        share = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
        column = Image.fromarray((top + share * (low - top)).astype(np.uint8)[:, None, :])
        self.canvas.paste(column.resize((self.width * SCALE, rows), Image.Resampling.NEAREST), (0, 0))

    def ground(self, near: Colour, far: Colour, patches: float, grain: float) -> None:
        """From the horizon down `far` turns into `near`, with soft patches and fine grain (grey values, 0 = flat)."""
        first = int(self.horizon)
        rows = self.height - first
        depth = np.linspace(1, 0, rows, dtype=np.float32)[:, None] ** 2
        relief: list[np.ndarray] = []  # added to red, green and blue alike
        if patches:
            coarse = Image.fromarray(self.rng.standard_normal((rows // 6, self.width // 16), np.float32))
            relief.append(patches * np.asarray(coarse.resize((self.width, rows), Image.Resampling.BICUBIC)))
        if grain:
            relief.append(grain * self.rng.standard_normal((rows, self.width), np.float32))
        surface = np.empty((rows, self.width if relief else 1, 3), np.uint8)
        for channel, (one, other) in enumerate(zip(near, far, strict=True)):
            plane = np.repeat(np.float32(one) * (1 - depth) + np.float32(other) * depth, surface.shape[1], axis=1)
            for offsets in relief:
                plane += offsets
            surface[:, :, channel] = np.clip(plane, 0, 255, out=plane)
        picture = Image.fromarray(surface).resize((surface.shape[1] * SCALE, rows * SCALE))
        if not relief:  # all columns are the same
            picture = picture.resize((self.width * SCALE, rows * SCALE), Image.Resampling.NEAREST)
        self.canvas.paste(picture, (0, first * SCALE))

    def paving(self, colour: Colour, body_lengths: float, thickness: float) -> None:
        """Joints of square slabs, in the perspective of the people: they meet at the horizon."""
        vanishing = self.rng.uniform(0.2, 0.8) * self.width
        nearest = self.scene.height_at(self.height)
        spacing = body_lengths * nearest  # of the joints, along the lower border
        far = self.row_where(3.0)
        share = (far - self.horizon) / (self.height - self.horizon)
        for step in range(-60, 61):
            foot = vanishing + step * spacing
            x_far = vanishing + (foot - vanishing) * share
            if -10 < x_far < self.width + 10 or -10 < foot < self.width + 10:
                self.line(x_far, far, foot, self.height, thickness, colour)
        distance = 1.0  # of the lower border from the camera, in units in which one row is one slab
        while (row := self.horizon + (self.height - self.horizon) / distance) > self.row_where(3.5):
            self.line(0, row, self.width, row, thickness, colour)
            distance += 0.55 * body_lengths

    def building(self, x0: float, x1: float, top: float, base: float, wall: Colour, *, window_size: float) -> None:
        """A block with a lit and a shaded side and rows of windows; `window_size` in body heights at its base."""
        body = max(self.scene.height_at(base), 3.0)
        self.rectangle(x0, top, x1, base, wall)
        side = x1 - 0.22 * (x1 - x0)
        dark = scaled(wall, 0.78)
        self.rectangle(side, top, x1, base, dark)
        self.rectangle(x0, top, x1, top + 0.25 * body, scaled(wall, 1.12))
        glass = self.vary((88, 108, 128), 20)
        lamp: Colour = (250, 222, 140)
        lit = 0.45 if daylight(self.scene) < 0.4 else 0.03
        wide, tall = window_size * body, 1.3 * window_size * body
        ys = np.arange(top + 0.6 * body, base - 1.1 * tall, 1.75 * tall).tolist()
        xs = np.arange(x0 + 0.6 * wide, x1 - wide, 1.8 * wide).tolist()
        lights = (self.rng.random((len(ys), len(xs))) < lit).tolist()
        for y, row in zip(ys, lights, strict=True):
            upper, lower = SCALE * y, SCALE * (y + tall)
            for x, light in zip(xs, row, strict=True):
                self.draw.rectangle((SCALE * x, upper, SCALE * (x + wide), lower), fill=lamp if light else glass)

    def lamp_post(self, x: float, base: float) -> None:
        body, colour = self.scene.height_at(base), (86, 88, 92)
        top = base - 2.8 * body
        self.line(x, base, x, top, 0.09 * body, colour)
        self.line(x, top, x + 0.5 * body, top, 0.07 * body, colour)
        self.rectangle(x + 0.35 * body, top, x + 0.7 * body, top + 0.1 * body, (240, 236, 214))
