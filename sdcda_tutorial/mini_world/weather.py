"""Hour and weather: which ones occur in each domain, and how they look: the sky, the light, fog and rain."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from sdcda_tutorial.mini_world.scene import Colour, Domain, Scene, mixed

CLEAR, CLOUDS, RAIN, FOG, THUNDER, OVERCAST, EXTRA_SUNNY = range(7)  # GCC's codes
GAME_WEATHER = (0.22, 0.18, 0.08, 0.08, 0.06, 0.13, 0.25)  # how often each of them occurs in the source
FINE_WEATHER = (CLEAR, CLOUDS, OVERCAST, EXTRA_SUNNY)  # equally often in the target and the third domain

_DIMMING = {CLEAR: 1.0, CLOUDS: 0.95, RAIN: 0.82, FOG: 0.92, THUNDER: 0.72, OVERCAST: 0.88, EXTRA_SUNNY: 1.06}
_GREYNESS = {CLEAR: 0.0, CLOUDS: 0.35, RAIN: 0.85, FOG: 0.95, THUNDER: 0.9, OVERCAST: 0.8, EXTRA_SUNNY: 0.0}


def sample_conditions(rng: np.random.Generator, domain: Domain) -> tuple[int, int]:
    """Hour (0 ... 23) and weather of one scene: anything in the game; by day and without rain or fog elsewhere."""
    if domain == "source":
        return int(rng.integers(24)), int(rng.choice(7, p=GAME_WEATHER))
    return int(rng.integers(8, 19)), int(rng.choice(FINE_WEATHER))


def daylight(scene: Scene) -> float:
    """0 at night, 1 around noon, in between at dawn (5 to 8 h) and dusk (17 to 20 h)."""
    hour = scene.hour + scene.minute / 60
    return min(max((7.5 - abs(hour - 12.5)) / 3.5, 0.0), 1.0)


def twilight(scene: Scene) -> float:
    """1 in the middle of dawn and dusk, 0 by day and by night: how warm the light is."""
    return 4 * daylight(scene) * (1 - daylight(scene))


def sky_colours(scene: Scene) -> tuple[Colour, Colour]:
    """Colour at the top of the sky and at the horizon, before `apply_light` dims the whole picture."""
    day, warm, grey = daylight(scene), twilight(scene), _GREYNESS[scene.weather]
    top = mixed((38, 46, 84), (96, 152, 214), day)
    low = mixed((66, 70, 104), (196, 216, 232), day)
    low = mixed(low, (244, 176, 118), 0.8 * warm * (1 - grey))
    overcast = mixed((74, 78, 88), (190, 194, 198), day)
    return mixed(top, overcast, grey), mixed(low, mixed(overcast, (214, 216, 216), 0.4 * day), grey)


def apply_light(picture: np.ndarray, scene: Scene, rng: np.random.Generator, strength: float) -> None:
    """Light a picture as hour and weather have it, in place.

    Args:
        picture: (H, W, 3) float32 in 0 ... 255, painted as at noon.
        strength: 1 for the game, less for a domain where the conditions vary less. The brightness of a strength of 1
            runs from 0.55 (night) to 1.12 (noon, extra-sunny).
    """
    day, warm = daylight(scene), twilight(scene)
    brightness = (0.60 + 0.44 * day) * _DIMMING[scene.weather] * rng.uniform(0.95, 1.05)
    brightness = 1 + strength * (float(np.clip(brightness, 0.55, 1.12)) - 1)
    night = 1 - day
    colours = np.array([1 + 0.07 * warm - 0.10 * night, 1 - 0.02 * night, 1 - 0.10 * warm + 0.10 * night], np.float32)
    tint(picture, (brightness * (1 + strength * (colours - 1))).astype(np.float32))
    if scene.weather == FOG:
        density = strength * rng.uniform(0.45, 0.7)
        rows = scene.size[0] - np.arange(scene.size[0], dtype=np.float32)
        depth = np.clip(rows / (scene.size[0] - scene.horizon), 0, 1)  # it is thickest at the horizon
        _veil(picture, (density * (0.15 + 0.85 * depth**1.5))[:, None, None].astype(np.float32), 225 * brightness)
    if scene.weather in (RAIN, THUNDER):
        _veil(picture, _rain(scene.size, rng, strength), 215)


def tint(picture: np.ndarray, factors: np.ndarray) -> None:
    """Multiply each channel of a picture (H, W, 3) by a factor; by whole rows, several times as fast as by threes."""
    height, width, _ = picture.shape
    rows = picture.reshape(height, -1)
    rows *= np.tile(factors, width)


def _veil(picture: np.ndarray, share: np.ndarray, grey: float) -> None:
    """Replace a share (0 ... 1, of the same or a broadcast shape) of a picture by a grey value."""
    picture *= 1 - share
    picture += np.float32(grey) * share


def _rain(size: tuple[int, int], rng: np.random.Generator, strength: float) -> np.ndarray:
    """Fine, slanted, half-transparent streaks: how much they hide, (H, W, 1) float32."""
    height, width = size
    streaks = Image.new("L", (width, height))
    draw = ImageDraw.Draw(streaks)
    slant = rng.uniform(-0.35, 0.35)
    drops = int(rng.integers(130, 220))
    xs, ys, lengths = rng.uniform(0, width, drops), rng.uniform(-8, height, drops), rng.uniform(5, 12, drops)
    opacity = (strength * rng.uniform(35, 85, drops)).astype(int)
    arrays = (xs, ys, lengths, opacity)
    for x, y, length, alpha in zip(*(array.tolist() for array in arrays), strict=True):
        draw.line((x, y, x + slant * length, y + length), fill=alpha)
    return np.asarray(streaks, np.float32)[:, :, None] / 255
