"""Three backgrounds: a clean game, a cluttered photograph, and streets and parks for the third domain.

This is where the domains differ. The source has flat shapes in muted colours; the target has foliage made of dots the
size of heads, stones, signs, many windows and rough ground. A counter that has only seen the source takes much of that
for people, which is the failure the paper is about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import SupportsIndex

import numpy as np

from sdcda_tutorial.mini_world.scene import HEAD_RADIUS, SCALE, Colour, Scene, shifted
from sdcda_tutorial.mini_world.stage import Stage

GAME_GROUNDS: tuple[Colour, ...] = ((128, 128, 124), (140, 132, 116), (112, 124, 98), (122, 118, 128), (150, 142, 124))
GAME_WALLS: tuple[Colour, ...] = ((156, 148, 140), (140, 128, 116), (128, 138, 148), (168, 158, 136), (132, 118, 118))
REAL_GROUNDS: tuple[Colour, ...] = ((138, 132, 124), (120, 116, 108), (150, 140, 122), (112, 112, 116))
REAL_WALLS: tuple[Colour, ...] = ((168, 142, 118), (146, 102, 84), (184, 176, 162), (128, 124, 120), (196, 180, 148))
LEAVES: tuple[Colour, ...] = ((92, 122, 62), (128, 96, 64), (196, 178, 138))  # green, brown, blossom
SIGNS: tuple[Colour, ...] = ((196, 44, 40), (36, 86, 160), (226, 190, 50), (40, 122, 74), (232, 232, 228))


def paint_background(scene: Scene, rng: np.random.Generator, strength: float) -> Stage:
    """The stage of a scene, without people. `strength` (k of the recipe) is the amount of clutter in the target."""
    stage = Stage(scene, rng)
    stage.sky()
    if scene.domain == "source":
        _game(stage)
    elif scene.domain == "target":
        _photograph(stage, strength)
    elif rng.random() < 0.5:
        _street(stage)
    else:
        _park(stage)
    return stage


def _game(stage: Stage) -> None:
    """Flat, clean and muted."""
    rng = stage.rng
    ground = stage.vary(_pick(rng, GAME_GROUNDS), 10)
    far = stage.vary((150, 150, 148), 8)
    textured = rng.random() < 0.5
    stage.ground(ground, far, patches=4.0 if textured else 0.0, grain=3.0 if textured else 0.0)
    _road(stage, stage.vary((96, 98, 102), 8))
    _skyline(stage, GAME_WALLS, blocks=int(rng.integers(2, 6)), window_size=0.55)
    for _ in range(rng.integers(0, 4)):
        base = stage.row_where(rng.uniform(7, 14))
        _flat_bush(stage, rng.uniform(0, stage.width), base, stage.vary((84, 118, 72), 12))
    _scatter(stage, rng.integers(0, 4), Stage.lamp_post, 8, 18)


def _photograph(stage: Stage, strength: float) -> None:
    """Cluttered: everything below grows in number with `strength`."""
    rng = stage.rng
    ground, far = stage.vary(_pick(rng, REAL_GROUNDS), 16), stage.vary((142, 136, 126), 12)
    stage.ground(ground, far, patches=22 * strength, grain=20 * strength)
    slab = stage.vary((104, 98, 92), 10)
    if rng.random() < 0.7:
        stage.paving(slab, body_lengths=rng.uniform(0.5, 1.0), thickness=0.5 + 0.4 * strength)
    _skyline(stage, REAL_WALLS, blocks=int(rng.integers(4, 8)), window_size=0.42)
    for _ in range(rng.poisson(0.8 + 13 * strength)):
        base = stage.row_where(rng.uniform(6, 13))
        if rng.random() < 0.6:
            _tree(stage, rng.uniform(0, stage.width), base)
        else:
            _hedge(stage, rng.uniform(-20, stage.width), base)
    for _ in range(rng.poisson(70 * strength)):
        row = stage.row_where(stage.scene.height_at(stage.height) * rng.uniform(0.25, 1.0))
        _stone(stage, rng.uniform(0, stage.width), row)
    _scatter(stage, rng.poisson(6 * strength), _sign, 9, 22)


def _street(stage: Stage) -> None:
    """Shop fronts, brick walls, paving and sunshades, at the scale of the third domain's larger people."""
    rng = stage.rng
    stage.ground(stage.vary((156, 148, 138), 18), stage.vary((150, 144, 136), 10), patches=7, grain=6)
    stage.paving(stage.vary((116, 110, 104), 10), body_lengths=rng.uniform(0.3, 0.6), thickness=0.8)
    base = stage.row_where(rng.uniform(14, 22))
    left = -rng.uniform(0, 30)
    while left < stage.width:
        right = left + rng.uniform(40, 90)
        if rng.random() < 0.65:
            _shop(stage, left, right, base)
        else:
            _brick_wall(stage, left, right, base)
        left = right
    _scatter(stage, rng.integers(0, 2), _tree, 18, 30)
    _scatter(stage, rng.integers(0, 4), _sunshade, 22, 48)
    for _ in range(rng.integers(0, 14)):
        _stone(stage, rng.uniform(0, stage.width), rng.uniform(base + 4, stage.height))


def _park(stage: Stage) -> None:
    """Lawn, trees and hedges before a row of houses: photographs of people are taken everywhere."""
    rng = stage.rng
    stage.ground(stage.vary((112, 124, 84), 16), stage.vary((128, 134, 104), 12), patches=9, grain=7)
    _skyline(stage, REAL_WALLS, blocks=int(rng.integers(2, 6)), window_size=0.42)
    _scatter(stage, rng.poisson(3), _tree, 12, 36)
    for _ in range(rng.poisson(1.5)):
        _hedge(stage, rng.uniform(-40, stage.width), stage.row_where(rng.uniform(12, 30)))
    _scatter(stage, rng.poisson(2), _sign, 16, 40)
    for _ in range(rng.integers(0, 20)):
        _stone(stage, rng.uniform(0, stage.width), rng.uniform(stage.horizon + 8, stage.height))


def _scatter(
    stage: Stage, number: SupportsIndex, paint: Callable[[Stage, float, float], None], smallest: float, largest: float
) -> None:
    """Paint a thing `number` times, anywhere on the ground where people are `smallest` to `largest` pixels tall."""
    for _ in range(number):
        paint(stage, stage.rng.uniform(0, stage.width), stage.row_where(stage.rng.uniform(smallest, largest)))


def _pick(rng: np.random.Generator, palette: tuple[Colour, ...]) -> Colour:
    return palette[int(rng.integers(len(palette)))]


def _skyline(stage: Stage, walls: tuple[Colour, ...], *, blocks: int, window_size: float) -> None:
    for _ in range(blocks):
        x0, base = stage.rng.uniform(-30, stage.width), stage.row_where(stage.rng.uniform(4.5, 7))
        top = max(stage.rng.uniform(-0.3, 0.75) * stage.horizon, -2)
        wall = stage.vary(_pick(stage.rng, walls), 12)
        stage.building(x0, x0 + stage.rng.uniform(35, 95), top, base, wall, window_size=window_size)


def _road(stage: Stage, asphalt: Colour) -> None:
    """A road that runs to the horizon, with a dashed middle line."""
    vanishing, middle = stage.rng.uniform(-0.2, 1.2) * stage.width, stage.rng.uniform(-0.1, 1.1) * stage.width
    half = stage.rng.uniform(0.15, 0.4) * stage.width
    end = stage.horizon
    stage.polygon([(vanishing, end), (middle - half, stage.height), (middle + half, stage.height)], asphalt)

    def middle_line(share: float, side: int) -> tuple[float, float]:  # a corner of it, at a share of the way to us
        x = vanishing + (middle - vanishing) * share
        return x + side * 0.03 * half * share, end + (stage.height - end) * share

    for near in (1.0, 0.62, 0.40, 0.26, 0.17):  # where a dash begins
        ends = [(near, -1), (near, 1), (0.8 * near, 1), (0.8 * near, -1)]
        stage.polygon([middle_line(share, side) for share, side in ends], (178, 176, 164))


def _flat_bush(stage: Stage, x: float, base: float, green: Colour) -> None:
    body = stage.scene.height_at(base)
    light = shifted(green, (12, 14, 8))
    for offset, size in ((-0.8, 0.55), (0.75, 0.6), (0.0, 0.8)):
        stage.ellipse(x + offset * body, base - 0.5 * size * body, size * body, 0.62 * size * body, green)
    stage.ellipse(x - 0.15 * body, base - 0.55 * body, 0.5 * body, 0.3 * body, light)


def _leaves(stage: Stage, xs: np.ndarray, ys: np.ndarray, head: float) -> None:
    """Dots about as large as heads at this distance, dark below and light on top, some of them brown or pale."""
    rng = stage.rng
    order = np.argsort(-ys)  # the upper, lighter leaves lie over the lower ones
    upwards = (ys.max() - ys) / max(float(np.ptp(ys)), 1.0)
    lightness = 0.45 + 0.6 * upwards + rng.uniform(-0.28, 0.28, len(xs))
    kinds = rng.choice(len(LEAVES), len(xs), p=(0.74, 0.16, 0.10))
    colours = np.clip(np.array(LEAVES)[kinds] * lightness[:, None], 8, 250).astype(int)
    radii = head * rng.uniform(0.6, 1.3, len(xs))
    boxes = SCALE * np.stack([xs - radii, ys - radii, xs + radii, ys + radii], axis=1)
    for box, colour in zip(boxes[order].tolist(), colours[order].tolist(), strict=True):
        stage.draw.ellipse(box, fill=tuple(colour))


def _tree(stage: Stage, x: float, base: float) -> None:
    rng = stage.rng
    body = stage.scene.height_at(base)
    wide, tall = body * rng.uniform(0.9, 1.7), body * rng.uniform(0.8, 1.3)
    middle = base - body * rng.uniform(1.7, 2.3)
    stage.line(x, base, x, middle, 0.2 * body, (82, 62, 46))
    leaves = int(rng.integers(90, 150))
    angle, radius = rng.uniform(0, 2 * np.pi, leaves), np.sqrt(rng.random(leaves))
    stage.ellipse(x, middle, 0.85 * wide, 0.85 * tall, (48, 64, 38))
    _leaves(stage, x + wide * radius * np.cos(angle), middle + tall * radius * np.sin(angle), HEAD_RADIUS * body)


def _hedge(stage: Stage, x: float, base: float) -> None:
    rng = stage.rng
    body = stage.scene.height_at(base)
    wide, tall = body * rng.uniform(3, 8), body * rng.uniform(0.6, 1.1)
    leaves = int(30 * wide / body)
    stage.rectangle(x, base - 0.85 * tall, x + wide, base, (46, 60, 36))
    xs, ys = x + wide * rng.random(leaves), base - tall * rng.uniform(0.08, 1.0, leaves)
    _leaves(stage, xs, ys, HEAD_RADIUS * body)


def _stone(stage: Stage, x: float, y: float) -> None:
    radius = HEAD_RADIUS * stage.scene.height_at(y) * stage.rng.uniform(0.5, 1.2)
    grey = stage.vary((118, 108, 96), 45)
    stage.ellipse(x + 0.2 * radius, y + 0.25 * radius, 1.1 * radius, 0.7 * radius, (62, 58, 54))
    stage.ellipse(x, y, radius, 0.75 * radius, grey)


def _sign(stage: Stage, x: float, base: float) -> None:
    body = stage.scene.height_at(base)
    top = base - body * stage.rng.uniform(1.1, 1.6)
    stage.line(x, base, x, top, 0.05 * body, (96, 96, 98))
    colour = stage.vary(_pick(stage.rng, SIGNS), 14)
    if stage.rng.random() < 0.5:
        stage.ellipse(x, top, 0.16 * body, 0.16 * body, colour)
        stage.ellipse(x, top, 0.09 * body, 0.09 * body, (236, 234, 228))
    else:
        stage.rectangle(x - 0.3 * body, top - 0.18 * body, x + 0.3 * body, top + 0.16 * body, colour)
        stage.line(x - 0.2 * body, top, x + 0.2 * body, top, 0.05 * body, (236, 234, 228))


def _shop(stage: Stage, x0: float, x1: float, base: float) -> None:
    """A front with an upper floor, a sign board, a striped awning and a display window."""
    rng, body = stage.rng, stage.scene.height_at(base)
    stage.building(x0, x1, -2, base, stage.vary(_pick(rng, REAL_WALLS), 14), window_size=0.5)
    shade, paint = base - 1.35 * body, stage.vary(_pick(rng, SIGNS), 16)
    stage.rectangle(x0 + 2, base - 1.3 * body, x1 - 2, base, stage.vary((70, 82, 92), 16))
    stage.rectangle(x0 + 2, shade - 0.55 * body, x1 - 2, shade, stage.vary(_pick(rng, SIGNS), 20))
    stripe = (x1 - x0 - 4) / 8
    for n in range(8):
        left = x0 + 2 + n * stripe
        stage.rectangle(left, shade, left + stripe, shade + 0.35 * body, paint if n % 2 else (234, 230, 220))
    for _ in range(rng.integers(2, 7)):  # goods on display
        x, radius = rng.uniform(x0 + 4, x1 - 4), body * rng.uniform(0.06, 0.14)
        stage.ellipse(x, base - body * rng.uniform(0.2, 0.7), radius, radius, stage.vary(_pick(rng, SIGNS), 40))


def _brick_wall(stage: Stage, x0: float, x1: float, base: float) -> None:
    brick, joint = stage.vary((150, 92, 74), 14), (176, 160, 146)
    stage.rectangle(x0, -2, x1, base, brick)
    course = 0.22 * stage.scene.height_at(base)
    for number, y in enumerate(np.arange(base, 0, -course).tolist()):
        stage.line(x0, y, x1, y, 0.4, joint)
        for x in np.arange(x0 + (number % 2) * course, x1, 2 * course).tolist():
            stage.line(x, y - course, x, y, 0.4, joint)


def _sunshade(stage: Stage, x: float, base: float) -> None:
    body, colour = stage.scene.height_at(base), stage.vary(_pick(stage.rng, SIGNS), 18)
    top, half = base - 1.6 * body, 0.8 * body
    stage.line(x, base, x, top, 0.05 * body, (120, 116, 110))
    for n in range(4):
        left, right = x - half + n * half / 2, x - half + (n + 1) * half / 2
        shade: Colour = colour if n % 2 else (236, 232, 224)
        stage.polygon([(x, top), (left, top + 0.45 * body), (right, top + 0.45 * body)], shade)
