"""Writers of the native formats, independent of the package's own: scipy, json, raw bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image

from sdcda_tutorial.errors import InputError


def write_picture(path: Path, size: tuple[int, int], mode: str = "RGB", seed: int = 0, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path, **options)


def tiff(values: np.ndarray, **tags: int) -> bytes:
    """A gray TIFF of (H, W) values of any type and byte order: tiff(values, t339=2) has signed integers."""
    order = ">" if values.dtype.str[0] == ">" else "<"
    height, width = values.shape
    known = {
        256: width, 257: height, 258: 8 * values.itemsize, 259: 1, 262: 1, 273: 8, 278: height, 279: values.nbytes,
        339: {"u": 1, "i": 2, "f": 3}[values.dtype.kind], **{int(name[1:]): value for name, value in tags.items()},
    }  # fmt: skip
    head = struct.pack(f"{order}2sHI", b"MM" if order == ">" else b"II", 42, 8 + values.nbytes + values.nbytes % 2)
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, known[tag]) for tag in sorted(known))
    return (
        head + values.tobytes() + bytes(values.nbytes % 2) + struct.pack(f"{order}H", len(known)) + entries + bytes(4)
    )


def write_shanghaitech(
    part: Path,
    number: int,
    points: np.ndarray,
    *,
    split: str = "train",
    size: tuple[int, int] = (37, 53),
    mode: str = "RGB",
    truth: str = "ground_truth",
    stated: int | None = None,
) -> Path:
    """One image and its .mat: a struct in a cell, as MATLAB writes it."""
    folder = part / f"{split}_data"
    write_picture(folder / "images" / f"IMG_{number}.jpg", size, mode, seed=("train", "test").index(split))
    struct = np.empty((1, 1), dtype=[("location", "O"), ("number", "O")])
    struct["location"][0, 0], struct["number"][0, 0] = points, len(points) if stated is None else stated
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = struct
    (folder / truth).mkdir(exist_ok=True)
    mat = folder / truth / f"GT_IMG_{number}.mat"
    scipy.io.savemat(mat, {"image_info": cell})
    return mat


def write_gcc(
    root: Path,
    scene: str,
    id_: str,
    row_column: np.ndarray,
    *,
    size: tuple[int, int] = (36, 64),
    kind: str = "jpg",
    mask: np.ndarray | None = None,
    stated: int | None = None,
    hour: int = 18,
    weather: int = 6,
) -> Path:
    """One scene image: picture, .mat with (row, column) pixels, raw mask (None: no segs folder)."""
    folder = root / scene
    write_picture(folder / f"{kind}s" / f"{id_}.{kind}", size)
    (folder / "mats").mkdir(exist_ok=True)
    info = {"image_info": {"location": row_column, "number": len(row_column) if stated is None else stated}}
    clock = {"time_info": np.array([[hour, 45]], dtype=np.uint8), "weather_info": np.array([[weather]], dtype=np.uint8)}
    mat = folder / "mats" / f"{id_}.mat"
    scipy.io.savemat(mat, {**info, **clock})
    if mask is not None:
        (folder / "segs").mkdir(exist_ok=True)
        (folder / "segs" / f"{id_}.raw").write_bytes(mask.astype(np.uint8).tobytes())
    return mat


def write_qnrf(root: Path, number: int, points: np.ndarray, *, split: str = "Train", size: Any = (37, 53)) -> Path:
    """One photograph and its .mat, side by side."""
    write_picture(root / split / f"img_{number:04d}.jpg", size)
    mat = root / split / f"img_{number:04d}_ann.mat"
    scipy.io.savemat(mat, {"annPoints": points})
    return mat


def write_crowdhuman(root: Path, lines: list[Any], split: str = "train", size: tuple[int, int] = (40, 60)) -> Path:
    for line in lines:
        write_picture(root / "Images" / f"{line['ID']}.jpg", size)
    path = root / f"annotation_{split}.odgt"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def complaint(make: Callable[[], Any], *parts: str | Path) -> str:
    """The InputError that `make` raises: one line that names every one of `parts`."""
    with pytest.raises(InputError) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    for part in parts:
        assert str(part) in message, message
    return message
