"""Writing a rendered scene exactly as GCC, ShanghaiTech and CrowdHuman store theirs.

So the mini world and the real data sets go through the same loaders. A writer returns the image's line in the list or
annotation file, where the format has one.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from sdcda_tutorial.datasets.formats.matfiles import image_info, mat_file
from sdcda_tutorial.mini_world.drawing import Rendering
from sdcda_tutorial.mini_world.scene import Domain, Scene, Split

_IMAGES_PER_CAMERA, _CAMERAS = 5, 4


def gcc_place(serial: int) -> tuple[str, str]:
    """Folder `scene_XX_Y` (location, camera) and 10-digit id of the image with this number."""
    camera = serial // _IMAGES_PER_CAMERA
    return f"scene_{camera // _CAMERAS:02d}_{camera % _CAMERAS}", f"{1_530_000_000 + serial:010d}"


def picture_of(domain: Domain, split: Split, number: int) -> tuple[str, Path]:
    """What the loaders call an image, and where its picture lies below the folder of its domain.

    Args:
        number: as the writer counts: GCC's serial, or the number within the split from 1 (target) or from 0 (third).
    """
    if domain == "source":
        folder, name = gcc_place(number)
        return f"{folder}/{name}", Path(folder, "jpgs", f"{name}.jpg")
    if domain == "target":
        return f"IMG_{number}", Path("part_B", f"{split}_data", "images", f"IMG_{number}.jpg")
    return f"{domain}_{number:05d}", Path("Images", f"{domain}_{number:05d}.jpg")


def write_gcc(root: Path, serial: int, scene: Scene, rendering: Rendering) -> str:
    """Image, mask, mat and json of one scene under `root`; `serial` counts over both splits.

    GCC stores heads as (row, column) of the pixel that holds them, so the position within the pixel is lost.

    Returns:
        `level hour weather folder id count`, a line of a list file as the authors' later repository has it.
    """
    folder, name = gcc_place(serial)
    place = root / folder
    _write(place / "jpgs" / f"{name}.jpg", _jpeg(rendering))
    _write(place / "segs" / f"{name}.raw", rendering.mask.tobytes())
    height, width = scene.size
    pixels = np.floor(scene.points[:, ::-1]).astype(np.int32)  # (N, 2) row, column
    variables = {
        "image_info": {"location": pixels if len(pixels) else np.zeros((0, 0)), "number": len(pixels)},
        "weather_info": np.uint8(scene.weather),
        "time_info": np.array([scene.hour, scene.minute], np.uint8),
        "roi_info": np.array([[0, 0], [width, 0], [width, height], [0, height]], np.int32),
        "camera_info": {"horizon": scene.horizon, "growth": scene.growth, "size": np.array([height, width])},
    }
    _write(place / "mats" / f"{name}.mat", mat_file(variables))
    arrays = (scene.points, scene.head_boxes, scene.full_boxes, rendering.visible_boxes)
    people = [
        dict(zip(("head", "head_box", "full_box", "visible_box"), person, strict=True))
        for person in zip(*(array.tolist() for array in arrays), strict=True)
    ]
    geometry = {"size": [height, width], "horizon": scene.horizon, "level": scene.level, "people": people}
    _write(place / "jsons" / f"{name}.json", json.dumps(geometry).encode())
    return f"{scene.level} {scene.hour} {scene.weather} {folder} {name} {len(pixels)}"


def write_shanghaitech(root: Path, split: Split, number: int, scene: Scene, rendering: Rendering) -> None:
    """`IMG_<number>.jpg` and `GT_IMG_<number>.mat` of a part B under `root`; images count from 1."""
    name, picture = picture_of("target", split, number)
    truth = root / picture.parents[1] / "ground-truth" / f"GT_{name}.mat"
    _write(root / picture, _jpeg(rendering))
    _write(truth, image_info(scene.points))


def write_crowdhuman(root: Path, number: int, scene: Scene, rendering: Rendering) -> str:
    """`Images/<ID>.jpg` under `root`.

    A person who is hidden keeps the boxes and is marked `ignore`: an annotator could not have seen them.

    Returns:
        The image's line of the .odgt file: boxes as x, y, width, height.
    """
    name, picture = picture_of("third", "train", number)
    _write(root / picture, _jpeg(rendering))
    boxes = []
    fulls, visibles = scene.full_boxes, rendering.visible_boxes
    occlusions = _areas(visibles) < 0.6 * _areas(fulls)
    arrays = (fulls, visibles, scene.head_boxes, occlusions)
    people = zip(*(array.tolist() for array in arrays), strict=True)
    for index, (full, visible, head, hidden) in enumerate(people):
        seen, occluded = visible[2] > visible[0], int(hidden)
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


def _jpeg(rendering: Rendering) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rendering.image).save(file, "JPEG", quality=rendering.jpeg_quality)
    return file.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a file; of a hundred in a folder only the first has to make it."""
    try:
        path.write_bytes(content)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _areas(boxes: np.ndarray) -> np.ndarray:
    areas: np.ndarray = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def _corner_and_size(box: list[float]) -> list[float]:
    x0, y0, x1, y1 = box
    return [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)]
