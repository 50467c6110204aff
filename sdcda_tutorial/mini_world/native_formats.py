"""Writing a rendered scene exactly as GCC, ShanghaiTech and CrowdHuman store theirs.

So the mini world and the real data sets go through the same loaders. A writer returns the image's line in the list or
annotation file, where the format has one.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from sdcda_tutorial.datasets.formats.matfiles import save_image_info, write_mat
from sdcda_tutorial.mini_world.drawing import Rendering
from sdcda_tutorial.mini_world.scene import Scene, Split

_IMAGES_PER_CAMERA, _CAMERAS = 5, 4


def gcc_place(serial: int) -> tuple[str, str]:
    """Folder `scene_XX_Y` (location, camera) and 10-digit id of the image with this number."""
    camera = serial // _IMAGES_PER_CAMERA
    return f"scene_{camera // _CAMERAS:02d}_{camera % _CAMERAS}", f"{1_530_000_000 + serial:010d}"


def write_gcc(root: Path, serial: int, scene: Scene, rendering: Rendering) -> str:
    """Image, mask, mat and json of one scene under `root`; `serial` counts over both splits.

    GCC stores heads as (row, column) of the pixel that holds them, so the position within the pixel is lost.

    Returns:
        `level hour weather folder id count`, a line of a list file as the authors' later repository has it.
    """
    folder, name = gcc_place(serial)
    place = root / folder
    for kind in ("mats", "segs", "jsons"):
        (place / kind).mkdir(parents=True, exist_ok=True)
    _save_jpeg(place / "jpgs" / f"{name}.jpg", rendering)
    (place / "segs" / f"{name}.raw").write_bytes(rendering.mask.tobytes())
    height, width = scene.size
    pixels = np.floor(scene.points[:, ::-1]).astype(np.int32)  # (N, 2) row, column
    write_mat(
        place / "mats" / f"{name}.mat",
        {
            "image_info": {"location": pixels if len(pixels) else np.zeros((0, 0)), "number": len(pixels)},
            "weather_info": np.uint8(scene.weather),
            "time_info": np.array([scene.hour, scene.minute], np.uint8),
            "roi_info": np.array([[0, 0], [width, 0], [width, height], [0, height]], np.int32),
            "camera_info": {"horizon": scene.horizon, "growth": scene.growth, "size": np.array([height, width])},
        },
    )
    arrays = (scene.points, scene.head_boxes, scene.full_boxes, rendering.visible_boxes)
    people = [
        dict(zip(("head", "head_box", "full_box", "visible_box"), person, strict=True))
        for person in zip(*(array.tolist() for array in arrays), strict=True)
    ]
    geometry = {"size": [height, width], "horizon": scene.horizon, "level": scene.level, "people": people}
    (place / "jsons" / f"{name}.json").write_text(json.dumps(geometry), encoding="utf-8")
    return f"{scene.level} {scene.hour} {scene.weather} {folder} {name} {len(pixels)}"


def write_shanghaitech(root: Path, split: Split, number: int, scene: Scene, rendering: Rendering) -> None:
    """`IMG_<number>.jpg` and `GT_IMG_<number>.mat` of a part B under `root`; images count from 1."""
    place = root / "part_B" / f"{split}_data"
    (place / "ground-truth").mkdir(parents=True, exist_ok=True)
    _save_jpeg(place / "images" / f"IMG_{number}.jpg", rendering)
    save_image_info(place / "ground-truth" / f"GT_IMG_{number}.mat", scene.points)


def write_crowdhuman(root: Path, number: int, scene: Scene, rendering: Rendering) -> str:
    """`Images/<ID>.jpg` under `root`.

    A person who is hidden keeps the boxes and is marked `ignore`: an annotator could not have seen them.

    Returns:
        The image's line of the .odgt file: boxes as x, y, width, height.
    """
    name = f"{scene.domain}_{number:05d}"
    _save_jpeg(root / "Images" / f"{name}.jpg", rendering)
    boxes = []
    people = zip(scene.full_boxes, rendering.visible_boxes, scene.head_boxes, strict=True)
    for index, (full, visible, head) in enumerate(people):
        seen = bool(visible[2] > visible[0])
        occluded = int(np.prod(visible[2:] - visible[:2]) < 0.6 * np.prod(full[2:] - full[:2]))  # areas
        boxes.append(
            {
                "tag": "person",
                "hbox": _corner_and_size(head),
                "vbox": _corner_and_size(visible if seen else full),
                "fbox": _corner_and_size(full),
                "extra": {"box_id": index, "occ": occluded, "ignore": int(not seen)},
                "head_attr": {"ignore": int(not seen), "occ": occluded, "unsure": 0},
            }
        )
    return json.dumps({"ID": name, "gtboxes": boxes})


def _save_jpeg(path: Path, rendering: Rendering) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rendering.image).save(path, quality=rendering.jpeg_quality)


def _corner_and_size(box: np.ndarray) -> list[float]:
    x0, y0, x1, y1 = box.tolist()
    return [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)]
