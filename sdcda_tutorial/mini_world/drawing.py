"""From a scene to a picture and its masks: background, people, light, camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdcda_tutorial.mini_world.backgrounds import paint_background
from sdcda_tutorial.mini_world.camera import photograph, sample_camera
from sdcda_tutorial.mini_world.people import draw_people, silhouettes, visible_boxes
from sdcda_tutorial.mini_world.scene import Scene
from sdcda_tutorial.mini_world.stage import SCALE
from sdcda_tutorial.mini_world.weather import apply_light

DEFAULT_STRENGTH = 0.55


@dataclass(frozen=True)
class Rendering:
    """A rendered scene.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8, 1 where a person is seen, to the pixel.
        visible_boxes: (N, 4) float64 (x0, y0, x1, y1) around the visible part of each person of `scene.people`,
            inside the image; zeros for a person who is hidden.
        jpeg_quality: how the camera compresses the picture when it is saved.
    """

    image: np.ndarray
    mask: np.ndarray
    visible_boxes: np.ndarray
    jpeg_quality: int


def render(scene: Scene, *, strength: float = DEFAULT_STRENGTH) -> Rendering:
    """Render a scene; the same scene and strength always give the same picture.

    Args:
        strength: k of the recipe, how far the target is from the source: clutter and camera. 0 is nearly clean, 0.35 to
            0.45 makes a source-only counter fail on the background, 1 is far too hard. Source and third ignore it.
    """
    rng = np.random.default_rng(scene.drawing_seed)
    stage = paint_background(scene, rng, strength)
    owner = draw_people(stage.canvas, scene, SCALE)
    picture = np.asarray(stage.canvas.reduce(SCALE), dtype=np.float32)
    picture = apply_light(picture, scene, rng, strength=1.0 if scene.domain == "source" else 0.5)
    camera = sample_camera(scene, rng, strength)
    return Rendering(
        image=photograph(picture, camera, rng),
        mask=silhouettes(owner, SCALE),
        visible_boxes=visible_boxes(owner, len(scene.people), SCALE),
        jpeg_quality=camera.jpeg_quality,
    )
