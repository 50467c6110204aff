"""Masks against plain loops, files against what was written, errors against one line that names the file."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sdcda_tutorial import masks
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.spacing import people_by_spacing
from sdcda_tutorial.training.mask_model import is_whole, write_pseudo_masks


def plain_boxes(boxes, size: tuple[int, int]) -> np.ndarray:
    """Pixel (i, j) is the square from (j, i) to (j + 1, i + 1); it is crowd where a box of some area overlaps it."""
    mask = np.zeros(size, dtype=np.uint8)
    for x0, y0, x1, y1 in boxes:
        for i in range(size[0]):
            for j in range(size[1]):
                if x0 < x1 and y0 < y1 and x0 < j + 1 and j < x1 and y0 < i + 1 and i < y1:
                    mask[i, j] = 1
    return mask


# Quarters of a pixel, so that whole, half and shared edges all come up often.
edge = st.integers(-20, 70).map(lambda quarters: quarters / 4)
box = st.tuples(edge, edge, edge, edge)
size = st.tuples(st.integers(1, 14), st.integers(1, 14))


@settings(deadline=None, max_examples=150)
@given(st.lists(box, max_size=6), size)
def test_boxes_agree_with_a_nested_loop(boxes: list, size: tuple[int, int]) -> None:
    """Fractional, overlapping, outside, empty and inverted boxes."""
    mask = masks.from_boxes(np.array(boxes, dtype=float).reshape(-1, 4), size)
    assert mask.dtype == np.uint8 and mask.shape == size
    np.testing.assert_array_equal(mask, plain_boxes(boxes, size))


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((2, 1, 5, 3), slice(1, 3), slice(2, 5)),  # whole pixels: x1 and y1 are not included
        ((2.9, 1.1, 4.1, 2.1), slice(1, 3), slice(2, 5)),  # every pixel touched
        ((-9, -9, 2.5, 0.5), slice(0, 1), slice(0, 3)),
        ((6, 4, 99, 99), slice(4, 6), slice(6, 8)),
        ((-1, -1, 99, 99), slice(0, 6), slice(0, 8)),
        ((-math.inf, 2, math.inf, 3), slice(2, 3), slice(0, 8)),
        ((8, 0, 9, 6), slice(0), slice(0)),  # beside the image
        ((-3, 0, 0, 6), slice(0), slice(0)),
        ((3, 3, 3, 5), slice(0), slice(0)),  # no width
        ((3.5, 3, 3.5, 5), slice(0), slice(0)),  # no width, in the middle of a pixel
        ((5, 3, 2, 5), slice(0), slice(0)),  # inverted
        ((3.7, 3, 3.2, 5), slice(0), slice(0)),  # inverted within one pixel
        ((math.nan, 3, 5, 5), slice(0), slice(0)),
    ],
)
def test_boxes_by_hand(box: tuple, rows: slice, columns: slice) -> None:
    expected = np.zeros((6, 8))
    expected[rows, columns] = 1
    np.testing.assert_array_equal(masks.from_boxes(np.array([box]), (6, 8)), expected)


def test_many_overlapping_boxes_stay_zero_and_one() -> None:
    mask = masks.from_boxes(np.array([[1, 1, 4, 4]] * 300), (6, 6))
    assert mask.max() == 1 and mask.sum() == 9


def test_no_boxes_is_all_background() -> None:
    assert not masks.from_boxes(np.zeros((0, 4)), (3, 4)).any()
    assert not masks.from_boxes(np.array([]), (3, 4)).any()


# Points


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(st.floats(-3, 43, width=32), st.floats(-3, 33, width=32)), max_size=15),
    st.one_of(st.none(), st.floats(0.01, 9)),
)
def test_every_head_is_covered(heads: list, radius: float | None) -> None:
    points = np.array(heads, dtype=float).reshape(-1, 2)
    mask = masks.from_points(points, (30, 40), radius=radius)
    assert mask.shape == (30, 40) and mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 1}
    kept = [(x, y) for x, y in heads if 0 <= x < 40 and 0 <= y < 30]
    assert all(mask[int(y), int(x)] == 1 for x, y in kept)
    assert bool(mask.any()) == bool(kept)  # points outside draw nothing


def test_a_rectangle_around_a_head_by_hand() -> None:
    """radius 2: from 18 to 22 along x; 2 above the head and 2 radii = 4 below it."""
    mask = masks.from_points(np.array([[20.0, 10.0]]), (30, 40), radius=2)
    np.testing.assert_array_equal(mask, plain_boxes([(18, 8, 22, 14)], (30, 40)))


def test_the_default_radius_follows_the_neighbours_within_limits() -> None:
    """Half the mean distance to the three nearest; a lonely head takes the upper limit, a dense crowd the lower one."""
    row = np.array([[20.0, 40], [32, 40], [44, 40], [56, 40]])
    mean_distances = [(12 + 24 + 36) / 3, (12 + 12 + 24) / 3, (12 + 12 + 24) / 3, (12 + 24 + 36) / 3]
    boxes = [(x - d / 2, y - d / 2, x + d / 2, y + d) for (x, y), d in zip(row, mean_distances, strict=True)]
    np.testing.assert_array_equal(masks.from_points(row, (80, 80)), plain_boxes(boxes, (80, 80)))
    lonely = masks.from_points(np.array([[40.0, 40.0]]), (100, 100))
    np.testing.assert_array_equal(lonely, plain_boxes([(16, 16, 64, 88)], (100, 100)))
    dense = masks.from_points(np.array([[40.0, 40.0], [40, 40], [41, 40]]), (80, 80))
    np.testing.assert_array_equal(dense, plain_boxes([(36, 36, 44, 48), (37, 36, 45, 48)], (80, 80)))


def test_heads_outside_do_not_shrink_the_others() -> None:
    inside = np.array([[20.0, 20.0]])
    crowd_outside = np.array([[-1.0, 20.0]] * 4)
    np.testing.assert_array_equal(
        masks.from_points(np.vstack([inside, crowd_outside]), (60, 60)), masks.from_points(inside, (60, 60))
    )


# Probabilities


def test_the_threshold_is_exclusive() -> None:
    probability = np.array([[0.0, 0.3, 0.5, 0.51, 1.0]])
    assert masks.from_probability(probability).tolist() == [[0, 0, 0, 1, 1]]
    assert masks.from_probability(probability, 0.2).tolist() == [[0, 1, 1, 1, 1]]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 12), st.integers(0, 4))
def test_dilation_grows_to_every_side(seed: int, height: int, width: int, dilate: int) -> None:
    probability = np.random.default_rng(seed).random((height, width))
    mask = masks.from_probability(probability, 0.9, dilate=dilate)
    assert mask.dtype == np.uint8
    for i in range(height):
        for j in range(width):
            near = probability[max(0, i - dilate) : i + dilate + 1, max(0, j - dilate) : j + dilate + 1]
            assert mask[i, j] == (near > 0.9).any()


# Files


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 40))
def test_png_round_trip(tmp_path_factory: pytest.TempPathFactory, seed: int, height: int, width: int) -> None:
    mask = (np.random.default_rng(seed).random((height, width)) > 0.5).astype(np.uint8)
    path = tmp_path_factory.mktemp("masks") / "deep" / "mask.png"
    masks.write_png(path, mask)
    back = masks.read_png(path, (height, width))
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, mask)


def test_a_png_shows_crowd_in_white_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    masks.write_png(tmp_path / "m.png", np.array([[0, 1], [1, 0]], dtype=np.uint8))
    with Image.open(tmp_path / "m.png") as image:
        assert np.asarray(image).tolist() == [[0, 255], [255, 0]]
    assert [path.name for path in tmp_path.iterdir()] == ["m.png"]


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "P", "LA"])
def test_masks_of_other_tools_are_read_too(tmp_path: Path, mode: str) -> None:
    Image.fromarray(np.array([[0, 255, 255]], dtype=np.uint8)).convert(mode).save(tmp_path / "m.png")
    assert masks.read_png(tmp_path / "m.png").tolist() == [[0, 1, 1]]


@pytest.mark.parametrize(
    ("mode", "pixels"),
    [
        ("RGB", [(0, 0, 0), (1, 0, 0), (0, 0, 1)]),  # numbers of things, as COCO's masks have them
        ("RGBA", [(255, 255, 255, 0), (255, 255, 255, 255), (1, 1, 1, 9)]),  # cut out, on nothing
        ("RGBA", [(0, 0, 0, 255), (0, 1, 0, 255), (0, 0, 2, 255)]),
        ("LA", [(255, 0), (1, 255), (255, 1)]),
        ("I;16", [0, 1, 65535]),
    ],
    ids=str,
)
def test_the_darkest_of_a_mask_is_crowd_and_what_nobody_sees_is_not(
    tmp_path: Path, mode: str, pixels: list[Any]
) -> None:
    image = Image.new(mode, (3, 1))
    for x, pixel in enumerate(pixels):
        image.putpixel((x, 0), pixel)
    image.save(tmp_path / "m.png")
    image.convert("RGB").quantize(3).save(tmp_path / "palette.png") if mode == "RGB" else None
    for path in tmp_path.iterdir():
        assert masks.read_png(path).tolist() == [[0, 1, 1]]


def test_a_jpeg_is_no_mask_whatever_its_name_and_is_not_written_over(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "m.png", format="JPEG")  # nothing in it is sure to be 0
    with pytest.raises(InputError, match=r"cannot be read \(it is a JPEG, not a PNG\)") as error:
        masks.read_png(tmp_path / "m.png")
    one_line_about(tmp_path / "m.png", error)
    assert is_whole(tmp_path / "m.png") and not is_whole(tmp_path / "none.png")


def test_a_pipe_is_no_mask_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.png")
    with pytest.raises(InputError, match="cannot be read") as error:
        masks.read_png(tmp_path / "m.png")
    one_line_about(tmp_path / "m.png", error)
    assert not is_whole(tmp_path / "m.png")


def test_a_mask_of_zeros_and_ones_needs_no_scaling(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).save(tmp_path / "m.png")
    assert masks.read_png(tmp_path / "m.png").tolist() == [[0, 1, 1]]


def one_line_about(path: Path, error: pytest.ExceptionInfo[InputError]) -> str:
    message = str(error.value)
    assert str(path) in message and "\n" not in message
    return message


@pytest.mark.parametrize("name", ["../a", "scene/../../a", "/a", "a\0"])
def test_a_mask_never_lies_outside_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no name of a file in"):
        masks.path_of(tmp_path, name)


def test_a_mask_of_a_scene_lies_in_the_scenes_folder(tmp_path: Path) -> None:
    assert masks.path_of(tmp_path, "scene_01_0/..5") == tmp_path / "scene_01_0" / "..5.png"


def test_a_mask_of_another_size_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "IMG_7.png"
    masks.write_png(path, np.zeros((4, 6), dtype=np.uint8))
    with pytest.raises(InputError) as error:
        masks.read_png(path, (6, 4))
    message = one_line_about(path, error)
    assert "6x4" in message and "4x6" in message and "`write_pseudo_masks`" in message


def test_a_missing_mask_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist") as error:
        masks.read_png(tmp_path / "none.png")
    one_line_about(tmp_path / "none.png", error)


def test_a_folder_or_a_text_is_no_mask(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    for path in (tmp_path, tmp_path / "text.png"):
        with pytest.raises(InputError, match="cannot be read") as error:
            masks.read_png(path)
        one_line_about(path, error)


def test_damage_anywhere_in_a_file_is_never_another_exception(tmp_path: Path) -> None:
    """Every byte of a PNG spoilt in turn, and the file cut there: a mask comes back, or the one-line error."""
    path = tmp_path / "m.png"
    masks.write_png(path, (np.random.default_rng(0).random((9, 13)) > 0.5).astype(np.uint8))
    whole = path.read_bytes()
    errors = 0
    for position in range(len(whole)):
        spoilt = bytes([whole[position] ^ 0xFF])
        for content in (whole[:position], whole[:position] + spoilt + whole[position + 1 :]):
            path.write_bytes(content)
            try:
                assert set(np.unique(masks.read_png(path))) <= {0, 1}
            except InputError as error:
                assert str(path) in str(error) and "\n" not in str(error)
                errors += 1
    assert errors > len(whole)


def test_arrays_of_another_width_are_refused() -> None:
    """(2, 4) are no four points, and boxes with a score are no others."""
    rows = np.array([[10, 10, 90, 90], [50, 50, 90, 90.0]])
    for refused, message in (
        (lambda: masks.from_points(rows, (100, 100)), r"points must be \(N, 2\), not \(2, 4\)"),
        (lambda: masks.from_boxes(np.ones((4, 5)), (100, 100)), r"boxes must be \(N, 4\), not \(4, 5\)"),
        (lambda: people_by_spacing(torch.zeros(100, 100), rows), r"points must be \(N, 2\), not \(2, 4\)"),
        (lambda: masks.from_points(np.array([[np.nan, 1]]), (9, 9)), "points must be finite"),
        (lambda: masks.from_points(np.ones((1, 2)), (9, 9), radius=-3), "radius must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            refused()


@pytest.mark.parametrize(("threshold", "dilate"), [(30, 0), (float("nan"), 0), (-1, 0), (0.3, -1), (0.3, 1.5)])
def test_a_threshold_that_would_call_all_one_thing_is_refused(threshold: float, dilate: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="threshold is 0 to 1, dilate whole"):
        write_pseudo_masks(tmp_path / "s.safetensors", [], tmp_path / "masks", threshold=threshold, dilate=dilate)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
