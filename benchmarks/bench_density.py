"""A density map against the published way to draw one, and against writing an array of its size.

    python benchmarks/bench_density.py [rounds]

The published scripts filter a picture with a single 1 in it for every head, and add the results up.
"""

from __future__ import annotations

import numpy as np
from rounds import in_turn, main
from scipy.ndimage import gaussian_filter

from sdcda_tutorial.density import density_map

PHOTOGRAPH, HEADS = (768, 1024), 123  # ShanghaiTech B, and the heads in one of its images on average
LARGE, CROWD = (1080, 1920), 12_865  # an image of GCC, and the largest count of UCF-QNRF


def crowd(rng: np.random.Generator, heads: int, size: tuple[int, int]) -> np.ndarray:
    """(heads, 2) points: half of them anywhere, half in clusters, as a real crowd has dense and empty places."""
    height, width = size
    anywhere = rng.uniform((0, 0), (width, height), (heads // 2, 2))
    centres = rng.uniform((0, 0), (width, height), (40, 2))
    clustered = centres[rng.integers(40, size=heads - len(anywhere))]
    clustered = clustered + rng.normal(0, 60, clustered.shape)
    return np.clip(np.concatenate([anywhere, clustered]), 0, (width - 1, height - 1))


def published(points: np.ndarray, size: tuple[int, int], sigma: float = 4.0) -> np.ndarray:
    """The density map (H, W) as the published scripts draw it: a filter over the whole image for every head."""
    density = np.zeros(size, np.float32)
    for x, y in points.astype(int):
        head = np.zeros(size, np.float32)
        head[y, x] = 1
        density += gaussian_filter(head, sigma, mode="constant", truncate=7 / sigma)  # 15 pixels wide, as ours
    return density


def measure(quick: bool) -> dict[str, float]:
    rng = np.random.default_rng(0)
    size, heads = ((96, 128), 20) if quick else (PHOTOGRAPH, HEADS)
    photograph = crowd(rng, heads, size)
    script = in_turn(
        {"script": lambda: published(photograph, size), "ours": lambda: density_map(photograph, size)},
        repeats=1,  # the script takes seconds, and hundreds of times as long as the spread of either
    )
    size = size if quick else LARGE
    points = crowd(rng, heads if quick else CROWD, size)
    one, other = np.zeros(size, np.float32), np.ones(size, np.float32)
    found = in_turn(
        {
            "fixed": lambda: density_map(points, size),
            "adaptive": lambda: density_map(points, size, kernel="adaptive"),
            "write": lambda: np.copyto(one, other),
        },
        repeats=3,
    )
    return {
        "published script / density map, 123 heads": script["script"] / script["ours"],
        "density map, fixed kernel, 12,865 heads / writing its pixels once": found["fixed"] / found["write"],
        "density map, adaptive kernel, 12,865 heads / writing its pixels once": found["adaptive"] / found["write"],
    }


if __name__ == "__main__":
    main(measure)
