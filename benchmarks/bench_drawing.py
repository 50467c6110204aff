"""Drawing an image of the mini world against saving the same image as a JPEG.

    python benchmarks/bench_drawing.py [rounds]

Both are one core's work on the same pixels and grow with their number, and every machine has a JPEG encoder of much the
same make: so the ratio says how much slower it is to invent a picture than to store it, here and elsewhere.
"""

from __future__ import annotations

import io
from typing import Any, get_args

from PIL import Image
from rounds import in_turn, main

from sdcda_tutorial.mini_world.drawing import Rendering, render
from sdcda_tutorial.mini_world.sampling import sample_scene, scene_generator
from sdcda_tutorial.mini_world.scene import Domain


def drawn(domain: Any, images: int) -> list[Rendering]:
    """The first images of a domain, with what they show thrown anew."""
    return [render(sample_scene(scene_generator(0, domain, "train", index), domain)) for index in range(images)]


def saved(renderings: list[Rendering]) -> None:
    for rendering in renderings:
        Image.fromarray(rendering.image).save(io.BytesIO(), "JPEG", quality=rendering.jpeg_quality)


def measure(quick: bool) -> dict[str, float]:
    images, found = (1 if quick else 10), {}
    for domain in get_args(Domain):
        renderings = drawn(domain, images)
        seconds = in_turn(
            {"drawn": lambda domain=domain: drawn(domain, images), "saved": lambda made=renderings: saved(made)},
            repeats=1 if quick else 2,
        )
        found[f"drawing an image of the {domain} / saving it as JPEG"] = seconds["drawn"] / seconds["saved"]
    return found


if __name__ == "__main__":
    main(measure)
