"""How long one density map takes: 12,865 heads, the largest count of UCF-QNRF, in an image of GCC's 1080×1920.

    python benchmarks/bench_density.py [repeats]

Prints the median of each kernel beside its target on one quiet core. Exit code 1 if a median is above its target.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from sdcda_tutorial.density import density_map

HEADS, SIZE = 12_865, (1080, 1920)
TARGET_MS = {"fixed": 30.0, "adaptive": 150.0}


def crowd(rng: np.random.Generator) -> np.ndarray:
    """(12865, 2) heads: half of them anywhere, half in clusters, as a real crowd has dense and empty places."""
    height, width = SIZE
    anywhere = rng.uniform((0, 0), (width, height), (HEADS // 2, 2))
    centres = rng.uniform((0, 0), (width, height), (40, 2))
    clustered = centres[rng.integers(40, size=HEADS - len(anywhere))]
    clustered = clustered + rng.normal(0, 60, clustered.shape)
    return np.clip(np.concatenate([anywhere, clustered]), 0, (width - 1, height - 1))


def milliseconds(points: np.ndarray, kernel: str, repeats: int) -> list[float]:
    times = []
    density_map(points, SIZE, kernel=kernel)  # type: ignore[arg-type]  # warm up: imports, memory
    for _ in range(repeats):
        start = time.perf_counter()
        density_map(points, SIZE, kernel=kernel)  # type: ignore[arg-type]
        times.append(1000 * (time.perf_counter() - start))
    return times


def main() -> int:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    points = crowd(np.random.default_rng(0))
    print(f"density_map, {len(points):,} heads in {SIZE[0]}×{SIZE[1]}, {repeats} runs each")
    missed = False
    for kernel, target in TARGET_MS.items():
        times = milliseconds(points, kernel, repeats)
        median = statistics.median(times)
        missed |= median > target
        print(f"{kernel:9} median {median:6.1f} ms   fastest {min(times):6.1f} ms   target {target:5.0f} ms")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
