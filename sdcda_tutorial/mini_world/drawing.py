"""From a scene to a picture and its masks: background, people, light, camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdcda_tutorial.mini_world.backgrounds import paint_background
from sdcda_tutorial.mini_world.people import Silhouettes, draw_people
from sdcda_tutorial.mini_world.scene import SCALE, Scene
from sdcda_tutorial.mini_world.weather import apply_light, tint

DEFAULT_STRENGTH = 0.55


@dataclass(frozen=True)
class Rendering:
    """A rendered scene."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    silhouettes: Silhouettes
    jpeg_quality: int  # how the camera compresses the picture when it is saved

    @property
    def mask(self) -> np.ndarray:
        """(H, W) uint8, 1 where at least half of a pixel shows a person."""
        return self.silhouettes.mask

    @property
    def visible_boxes(self) -> np.ndarray:
        """(N, 4) float64 (x0, y0, x1, y1) around what is seen of each person; zeros for a hidden one."""
        return self.silhouettes.visible_boxes


def render(scene: Scene, *, strength: float = DEFAULT_STRENGTH) -> Rendering:
    """Render a scene; the same scene and strength always give the same picture.

    Args:
        strength: k of the recipe, how far the target is from the source: clutter and camera. 0 is nearly clean, 0.35 to
            0.45 makes a source-only counter fail on the background, 1 is far too hard. Source and third ignore it.
    """
    rng = np.random.default_rng(scene.drawing_seed)
    stage = paint_background(scene, rng, strength)
    silhouettes = draw_people(stage.canvas, scene)
    picture = np.array(stage.canvas.reduce(SCALE), dtype=np.float32)
    # From here on the picture is changed in place: new memory for each step takes as long as the step.
    apply_light(picture, scene, rng, strength=1.0 if scene.domain == "source" else 0.5)
    image, jpeg_quality = _photograph(picture, scene, rng, strength)
    return Rendering(image, silhouettes, jpeg_quality)


def _photograph(picture: np.ndarray, scene: Scene, rng: np.random.Generator, strength: float) -> tuple[np.ndarray, int]:
    """What a camera does to a picture: colour cast, gamma, blur, noise. The game's camera is nearly perfect.

    Args:
        picture: (H, W, 3) float32 in 0 ... 255; it is used up.
        strength: the target's camera gets worse with it.
    Returns:
        (H, W, 3) uint8, and the quality of its JPEG.
    """
    if scene.domain == "source":
        blur, gamma, quality = 0.0, 1.0, 95
        noise = rng.uniform(1.5, 5.0) if rng.random() < 0.5 else 0.0  # half of the images, and only slightly
        gains = rng.uniform(1 - 0.08, 1 + 0.08, 3)
    elif scene.domain == "third":
        blur, noise = rng.uniform(0.0, 0.6), rng.uniform(6.0, 13.0)
        gains, gamma = rng.uniform(1 - 0.12, 1 + 0.12, 3), rng.uniform(0.85, 1.15)
        quality = int(rng.integers(75, 96))
    else:
        gains = rng.uniform(1 - 0.25 * strength, 1 + 0.25 * strength, 3)
        gamma = np.exp(rng.uniform(-0.5, 0.5) * strength)
        blur, noise = rng.uniform(0.0, 1.2) * strength, rng.uniform(6.0, 16.0) * strength  # in pixels, in grey values
        quality = round(95 - 60 * strength * rng.random())
    tint(picture, gains.astype(np.float32))
    if gamma != 1.0:
        np.clip(picture, 0, 255, out=picture)
        picture /= 255
        np.power(picture, np.float32(gamma), out=picture)
        picture *= 255
    if blur > 0.15:
        from scipy import ndimage

        picture = ndimage.gaussian_filter(picture, (blur, blur, 0), truncate=3)
    if noise > 0:
        grain = rng.standard_normal(picture.shape, np.float32)
        grain *= np.float32(noise)
        picture += grain
    np.rint(picture, out=picture)
    np.clip(picture, 0, 255, out=picture)
    return picture.astype(np.uint8), quality
