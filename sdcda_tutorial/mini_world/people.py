"""How a person is painted: one routine for every domain.

The premise of the paper is that people look alike in synthetic and real scenes and backgrounds do not. So there is
exactly one way to paint a person, and nothing in it knows the domain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw

from sdcda_tutorial.mini_world.scene import HALF_WIDTH, HEAD_RADIUS, SCALE, Colour, Person, Scene, scaled

_STRIPES = np.arange(0.24, 0.53, 0.085).tolist()  # down a shirt, in body heights


@dataclass(frozen=True)
class Silhouettes:
    """Where everyone was painted, far to near. Mask and boxes are worked out when a format asks for them."""

    size: tuple[int, int]  # (height, width) of the scene
    people: tuple[tuple[Image.Image, int, int], ...]  # the sprite of each, and its left and top on the canvas

    @cached_property
    def mask(self) -> np.ndarray:
        """(H, W) uint8, 1 where at least half of a pixel shows a person."""
        seen = (self._owner > 0).view(np.uint8)
        covered = sum(seen[row::SCALE, column::SCALE] for row in range(SCALE) for column in range(SCALE))
        return (2 * np.asarray(covered) >= SCALE**2).astype(np.uint8)

    @cached_property
    def visible_boxes(self) -> np.ndarray:
        """(N, 4) float64 (x0, y0, x1, y1) around what is seen of each person; zeros for a hidden one."""
        from scipy import ndimage  # late, as in `drawing`: half of what a process that draws nothing would import

        boxes = np.zeros((len(self.people), 4))
        for index, found in enumerate(ndimage.find_objects(self._owner, max_label=len(boxes))):
            if found is not None:
                rows, columns = found
                boxes[index] = columns.start, rows.start, columns.stop, rows.stop
        return boxes / SCALE

    @cached_property
    def _owner(self) -> np.ndarray:
        """Of each pixel of the canvas: 0 for background, n + 1 where the nth person is what is seen."""
        height, width = self.size
        painted = Image.new("L" if len(self.people) < 256 else "I", (width * SCALE, height * SCALE))
        for number, (body, left, top) in enumerate(self.people, start=1):
            painted.paste(number, (left, top, left + body.width, top + body.height), body)
        return np.asarray(painted)


def draw_people(canvas: Image.Image, scene: Scene) -> Silhouettes:
    """Paint everyone far to near onto `canvas`, which is `SCALE` times the size of the scene."""
    _drop_shadows(canvas, scene)
    painted = []
    for person in scene.people:
        body = _sprite(person)
        left, top = round((person.x - person.half_width) * SCALE), round(person.top * SCALE)
        canvas.paste(body, (left, top), body)
        painted.append((body, left, top))
    return Silhouettes(scene.size, tuple(painted))


def _drop_shadows(canvas: Image.Image, scene: Scene) -> None:
    """All shadows at once: they lie on the ground, under everybody, and where two meet it gets no darker."""
    shadows = Image.new("L", canvas.size)
    draw = ImageDraw.Draw(shadows)
    for person in scene.people:
        width, depth = 0.22 * person.build * person.height, 0.055 * person.height
        x, y = person.x + 0.05 * person.height, person.feet - 0.2 * depth  # light comes from the left in every scene
        draw.ellipse([SCALE * value for value in (x - width, y - depth, x + width, y + depth)], fill=90)
    if box := shadows.getbbox():  # the rest would stay as it is
        canvas.paste((18, 20, 26), box, shadows.crop(box))


def _sprite(person: Person) -> Image.Image:
    """A person alone, RGBA, as large as the full box; opaque on the silhouette and transparent elsewhere."""
    unit = person.height * SCALE  # pixels of the canvas per body height
    half = HALF_WIDTH * person.build
    body = Image.new("RGBA", (max(round(2 * half * unit), 3), max(round(unit), 3)))
    brush = ImageDraw.Draw(body)

    # Body coordinates: x from the middle, y from the top, in body heights.
    def ellipse(x: float, y: float, radius_x: float, radius_y: float, colour: Colour) -> None:
        left, right = (half + (x - radius_x)) * unit - 0.5, (half + (x + radius_x)) * unit - 0.5
        brush.ellipse((left, (y - radius_y) * unit - 0.5, right, (y + radius_y) * unit - 0.5), fill=colour)

    def limb(x0: float, y0: float, x1: float, y1: float, thickness: float, colour: Colour) -> None:
        ends = ((half + x0) * unit - 0.5, y0 * unit, (half + x1) * unit - 0.5, y1 * unit)
        brush.line(ends, fill=colour, width=max(round(thickness * unit), 1))

    def block(x0: float, y0: float, x1: float, y1: float, radius: float, colour: Colour) -> None:
        box = ((half + x0) * unit - 0.5, y0 * unit, (half + x1) * unit - 0.5, y1 * unit)
        if radius * unit < 1:
            brush.rectangle(box, fill=colour)
        else:
            brush.rounded_rectangle(box, radius=radius * unit, fill=colour)

    shoulder = 0.118 * person.build
    apart = 0.055 * person.stride
    shoe: Colour = (34, 30, 30)
    for side, step in ((-1, apart), (1, -apart)):
        hip, foot = side * 0.048 * person.build, side * 0.05 * person.build + step
        lift = 0.02 * max(step * side, 0.0) / 0.055
        limb(hip, 0.52, foot, 0.965 - lift, 0.085 * person.build, scaled(person.trousers, 1.0 if side < 0 else 0.82))
        ellipse(foot + 0.012 * side, 0.972 - lift, 0.042, 0.022, shoe)
    for side in (-1, 1):
        hand = side * (shoulder + 0.035) - 0.5 * apart
        sleeve = scaled(person.shirt, 0.92 if side < 0 else 0.72)
        limb(side * (shoulder - 0.012), 0.225, hand, 0.43, 0.058, sleeve)
        ellipse(hand, 0.465, 0.026, 0.034, person.skin)
    block(-0.03, 0.14, 0.03, 0.22, 0, scaled(person.skin, 0.8))
    block(-shoulder, 0.185, shoulder, 0.56, 0.055, person.shirt)
    block(0.45 * shoulder, 0.21, shoulder - 0.012, 0.548, 0, scaled(person.shirt, 0.84))
    if person.striped:
        for y in _STRIPES:
            limb(-shoulder, y, shoulder, y, 0.034, person.stripe)

    if person.long_hair:
        block(-1.02 * HEAD_RADIUS, 0.05, 1.02 * HEAD_RADIUS, 0.215, 0.05, person.hair)
    ellipse(0, HEAD_RADIUS, HEAD_RADIUS, HEAD_RADIUS, person.hair)
    if not person.back:
        ellipse(0, 1.22 * HEAD_RADIUS, 0.80 * HEAD_RADIUS, 0.78 * HEAD_RADIUS, person.skin)
        if unit > 90:  # a face shows only from near
            for side in (-1, 1):
                ellipse(side * 0.032, 1.12 * HEAD_RADIUS, 0.010, 0.013, (40, 32, 30))
            limb(-0.022, 1.6 * HEAD_RADIUS, 0.022, 1.6 * HEAD_RADIUS, 0.012, scaled(person.skin, 0.68))
    return body
