"""What a camera does to a picture: colour cast, gamma, blur, noise, and how hard the JPEG is compressed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sdcda_tutorial.mini_world.scene import Scene


@dataclass(frozen=True)
class Camera:
    gains: tuple[float, float, float]  # of red, green, blue
    gamma: float
    blur: float  # standard deviation in pixels
    noise: float  # standard deviation in grey values
    jpeg_quality: int


def sample_camera(scene: Scene, rng: np.random.Generator, strength: float) -> Camera:
    """The camera of one image; the game's is nearly perfect, the target's gets worse with `strength`."""

    def gains(spread: float) -> tuple[float, float, float]:
        red, green, blue = rng.uniform(1 - spread, 1 + spread, 3)
        return float(red), float(green), float(blue)

    if scene.domain == "source":
        noise = float(rng.uniform(1.5, 5.0)) if rng.random() < 0.5 else 0.0  # half of the images, and only slightly
        return Camera(gains(0.08), gamma=1.0, blur=0.0, noise=noise, jpeg_quality=95)
    if scene.domain == "third":
        blur, noise = float(rng.uniform(0.0, 0.6)), float(rng.uniform(6.0, 13.0))
        return Camera(gains(0.12), float(rng.uniform(0.85, 1.15)), blur, noise, int(rng.integers(75, 96)))
    return Camera(
        gains(0.25 * strength),
        gamma=float(np.exp(rng.uniform(-0.5, 0.5) * strength)),
        blur=float(rng.uniform(0.0, 1.2)) * strength,
        noise=float(rng.uniform(6.0, 16.0)) * strength,
        jpeg_quality=round(95 - 60 * strength * rng.random()),
    )


def photograph(picture: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) float32 in 0 ... 255 to the uint8 picture that the camera gives."""
    picture = picture * np.array(camera.gains, np.float32)
    if camera.gamma != 1.0:
        picture = 255 * (np.clip(picture, 0, 255) / 255) ** np.float32(camera.gamma)
    if camera.blur > 0.15:
        picture = ndimage.gaussian_filter(picture, (camera.blur, camera.blur, 0), truncate=3)
    if camera.noise > 0:
        picture = picture + np.float32(camera.noise) * rng.standard_normal(picture.shape, np.float32)
    finished: np.ndarray = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return finished
