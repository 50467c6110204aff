"""Image, points, boxes and mask move together, nobody is lost, and colour leaves the geometry alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdcda_tutorial.datasets import Sample
from sdcda_tutorial.datasets import transforms as T
from sdcda_tutorial.density import density_map
from sdcda_tutorial.errors import InputError

JITTER = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "channel": 0.0}


def block_world(heads: list[tuple[int, int]], size: tuple[int, int], block: int = 8) -> Sample:
    """White blocks on black, one per head (in block coordinates row, column); the mask is the white, boxes too."""
    image = np.zeros((*size, 3), dtype=np.uint8)
    boxes = []
    for row, column in heads:
        image[row * block : (row + 1) * block, column * block : (column + 1) * block] = 255
        boxes.append((column * block, row * block, (column + 1) * block, (row + 1) * block))
    corners = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    return Sample(
        image=image,
        points=(corners[:, :2] + corners[:, 2:]) / 2,
        boxes=corners,
        mask=(image[..., 0] > 0).astype(np.uint8),
        attributes={"ignored": corners.copy(), "hour": 12},
        dropped=3,
    )


@st.composite
def block_samples(draw: st.DrawFn) -> Sample:
    rows, columns = draw(st.integers(2, 6)), draw(st.integers(2, 6))
    cells = st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1))
    heads = draw(st.lists(cells, max_size=8, unique=True))
    extra = draw(st.tuples(st.integers(0, 7), st.integers(0, 7)))  # sides that are no multiple of anything
    return block_world(heads, (rows * 8 + extra[0], columns * 8 + extra[1]))


def assert_aligned(sample: Sample) -> None:
    """Every head stands on white, in the mask and in the image, and inside the image."""
    height, width = sample.size
    assert sample.mask is not None and sample.mask.shape == (height, width)
    assert sample.points.dtype == np.float32 and sample.image.dtype == sample.mask.dtype == np.uint8
    assert sample.image.flags.c_contiguous and sample.mask.flags.c_contiguous
    for x, y in sample.points:
        assert 0 <= x < width and 0 <= y < height
        assert sample.mask[int(y), int(x)] == 1
        assert sample.image[int(y), int(x)].min() >= 128
    assert set(np.unique(sample.mask)) <= {0, 1}
    assert sample.dropped == 3 and sample.attributes["hour"] == 12
    np.testing.assert_array_equal(sample.boxes, sample.attributes["ignored"])
    for x0, y0, x1, y1 in sample.boxes:
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height


@st.composite
def inside_points(draw: st.DrawFn) -> Sample:
    """Points anywhere inside, the awkward places included: the border, just below the far border, tiny numbers."""
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))

    def coordinate(side: int) -> st.SearchStrategy[float]:
        last = float(np.nextafter(np.float32(side), np.float32(0)))
        return st.one_of(st.sampled_from([0.0, last, side / 2]), st.floats(0, last, width=32))

    points = draw(st.lists(st.tuples(coordinate(width), coordinate(height)), max_size=20))
    return Sample(
        image=np.zeros((height, width, 3), dtype=np.uint8), points=np.array(points, dtype=np.float32).reshape(-1, 2)
    )


@given(inside_points(), st.data())
def test_the_pieces_of_a_cut_share_out_all_the_heads(sample: Sample, data: st.DataObject) -> None:
    height, width = sample.size
    row, column = data.draw(st.integers(0, height)), data.draw(st.integers(0, width))
    pieces = [
        T.crop(sample, top, left, (h, w))
        for top, h in ((0, row), (row, height - row))
        for left, w in ((0, column), (column, width - column))
        if h and w
    ]
    assert sum(piece.count for piece in pieces) == sample.count
    for piece in pieces:
        assert ((piece.points >= 0) & (piece.points < piece.size[::-1])).all()


@given(inside_points())
def test_flip_keeps_everyone_and_twice_is_the_identity(sample: Sample) -> None:
    once = T.flip(sample)
    assert once.count == sample.count
    assert ((once.points >= 0) & (once.points < sample.size[::-1])).all()
    # One rounding to float32 near W is all that two flips may cost.
    np.testing.assert_allclose(T.flip(once).points, sample.points, atol=2 * np.spacing(np.float32(sample.size[1])))


@given(block_samples())
def test_flip_of_whole_pixels_twice_is_exactly_the_identity(sample: Sample) -> None:
    twice = T.flip(T.flip(sample))
    for one, other in [(twice.image, sample.image), (twice.mask, sample.mask), (twice.points, sample.points)]:
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(twice.boxes, sample.boxes)
    assert_aligned(T.flip(sample))


def test_a_head_at_a_whole_number_stays_in_its_pixel_when_it_is_flipped() -> None:
    """Labels that are clicked or stored as integers are; the map of the mirrored image is the mirrored map."""
    sample = Sample(image=np.zeros((40, 64, 3), np.uint8), points=np.array([[0, 1], [20, 10], [2.5, 30]], np.float32))
    flipped = T.flip(sample)
    assert flipped.points[:, 0].tolist() == [63, 43, 61.5]
    torch.testing.assert_close(density_map(flipped.points, (40, 64)), density_map(sample.points, (40, 64)).flip(1))


@given(inside_points(), st.integers(1, 80), st.integers(1, 80))
def test_resize_keeps_the_count(sample: Sample, height: int, width: int) -> None:
    resized = T.resize(sample, (height, width))
    assert resized.size == (height, width) and resized.count == sample.count
    assert ((resized.points >= 0) & (resized.points < (width, height))).all()
    scale = np.array([width, height]) / sample.size[::-1]
    np.testing.assert_allclose(resized.points, sample.points * scale, rtol=1e-5, atol=1e-5)


@settings(deadline=None)
@given(block_samples(), st.floats(0.5, 3), st.floats(0.5, 3))
def test_resize_keeps_mask_image_and_heads_aligned(sample: Sample, vertical: float, horizontal: float) -> None:
    height, width = sample.size
    assert_aligned(T.resize(sample, (round(height * vertical), round(width * horizontal))))


@settings(deadline=None)
@given(block_samples(), st.integers(0, 2**32 - 1))
def test_random_transforms_keep_everything_aligned(sample: Sample, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cropped = T.random_crop(T.random_flip(sample, rng), (24, 40), rng)
    scaled = T.random_scaled_crop(sample, (24, 40), 0.5, 2, rng)
    assert cropped.size == scaled.size == (24, 40)
    assert_aligned(cropped)
    assert_aligned(scaled)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_scaled_crop_resizes_by_the_factor(factor: float) -> None:
    # A ramp of brightness along x: its slope tells the scale, wherever the crop lies.
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (120, 200, 3))
    shown = T.random_scaled_crop(Sample(np.ascontiguousarray(ramp)), (40, 60), factor, factor, np.random.default_rng(0))
    assert shown.size == (40, 60)
    slope = (float(shown.image[20, 50, 0]) - float(shown.image[20, 10, 0])) / 40
    assert slope == pytest.approx(1 / factor, rel=0.05)


def test_a_scaled_crop_of_a_small_image_is_shrunk_only_until_it_fits() -> None:
    sample = block_world([(0, 0)], (50, 70))
    shown = T.random_scaled_crop(sample, (40, 60), 0.1, 0.1, np.random.default_rng(0))
    assert shown.size == (40, 60)
    tiny = T.random_scaled_crop(sample, (100, 100), 0.5, 0.5, np.random.default_rng(0))  # enlarged, as random_crop does
    assert tiny.size == (100, 100)


def test_the_same_seed_gives_the_same_sample() -> None:
    sample = block_world([(0, 0), (2, 3)], (40, 48))

    def draw(seed: int) -> Sample:
        rng = np.random.default_rng(seed)
        return T.color_jitter(T.random_scaled_crop(sample, (16, 16), 0.5, 2, rng), rng, **JITTER)

    np.testing.assert_array_equal(draw(1).image, draw(1).image)
    assert any((draw(1).image != draw(seed).image).any() for seed in range(2, 8))


def test_random_crop_reaches_both_borders() -> None:
    sample = Sample(image=np.arange(7, dtype=np.uint8)[None, :, None].repeat(5, 0).repeat(3, 2))
    rng = np.random.default_rng(0)
    assert {int(T.random_crop(sample, (5, 4), rng).image[0, 0, 0]) for _ in range(100)} == {0, 1, 2, 3}


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_resize_to_fit_makes_room_and_keeps_the_aspect(height: int, width: int, h: int, w: int) -> None:
    sample = Sample(image=np.zeros((height, width, 3), dtype=np.uint8))
    fitted = T.resize_to_fit(sample, (h, w))
    assert fitted.size[0] >= h and fitted.size[1] >= w
    if height >= h and width >= w:
        assert fitted is sample
    else:
        assert fitted.size[0] == h or fitted.size[1] == w  # no larger than need be
        assert abs(fitted.size[0] * width - fitted.size[1] * height) <= max(height, width)  # within one pixel


@pytest.mark.parametrize("cut", [T.random_crop, lambda s, size, rng: T.random_scaled_crop(s, size, 0.5, 0.5, rng)])
def test_what_memory_could_not_hold_is_refused_with_its_name(cut: Any) -> None:
    thin = Sample(np.zeros((1, 60_000, 3), np.uint8), np.zeros((0, 2), np.float32), name="line.png")
    with pytest.raises(InputError, match=r"line\.png is 60000×1 pixels, too narrow"):
        cut(thin, (96, 96), np.random.default_rng(0))


def test_crop_cuts_boxes_and_drops_those_outside() -> None:
    sample = Sample(image=np.zeros((20, 20, 3), np.uint8), boxes=np.array([[2, 2, 8, 8], [12, 2, 18, 8]], np.float32))
    np.testing.assert_array_equal(T.crop(sample, 4, 4, (10, 8)).boxes, [[0, 0, 4, 4]])


@pytest.mark.parametrize("window", [(-1, 0, (4, 4)), (0, 8, (4, 4)), (0, 0, (11, 4)), (0, 0, (0, 4))])
def test_a_window_that_does_not_fit_is_refused(window: tuple[int, int, tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="does not fit in 10×10"):
        T.crop(Sample(image=np.zeros((10, 10, 3), np.uint8)), *window)


@given(block_samples(), st.integers(0, 2**32 - 1))
def test_jitter_never_touches_the_geometry(sample: Sample, seed: int) -> None:
    jittered = T.color_jitter(sample, np.random.default_rng(seed), **{**JITTER, "channel": 0.1})
    assert jittered.points is sample.points and jittered.mask is sample.mask and jittered.boxes is sample.boxes
    assert jittered.image.shape == sample.image.shape and jittered.image.dtype == np.uint8


def test_jitter_does_what_its_names_say() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(60, 180, (40, 40, 3), dtype=np.uint8)
    sample = Sample(image=noise)
    off = dict.fromkeys(JITTER, 0.0)
    np.testing.assert_array_equal(T.color_jitter(sample, rng, **off).image, noise)

    def with_draw(value: float, **strength: float) -> np.ndarray:
        class Fixed:
            def uniform(self, low: float, high: float, size: int) -> np.ndarray:
                return np.full(size, value)

        return T.color_jitter(sample, Fixed(), **{**off, **strength}).image.astype(float)  # type: ignore[arg-type]

    np.testing.assert_allclose(with_draw(-1, brightness=0.2), noise * 0.8, atol=0.51)
    gray = with_draw(-1, saturation=1.0)
    np.testing.assert_allclose(gray, (noise @ [0.299, 0.587, 0.114])[..., None].repeat(3, 2), atol=0.51)
    flat = with_draw(-1, contrast=1.0)
    assert np.ptp(flat) == 0 and abs(flat.mean() - noise.mean()) < 10
    assert abs(with_draw(1, contrast=0.3).std() / noise.std() - 1.3) < 0.01
    np.testing.assert_allclose(with_draw(1, channel=0.1), noise * 1.1, atol=0.51)
    assert with_draw(1, brightness=3.0).max() == 255  # clipped, not wrapped around


def test_nothing_writes_into_its_input() -> None:
    sample = block_world([(0, 0), (1, 2)], (30, 50))
    frozen = replace(sample)
    for array in (frozen.image, frozen.mask, frozen.points, frozen.boxes, frozen.attributes["ignored"]):
        assert array is not None
        array.flags.writeable = False
    rng = np.random.default_rng(0)
    T.flip(frozen), T.crop(frozen, 1, 2, (9, 9)), T.resize(frozen, (11, 13)), T.color_jitter(frozen, rng, **JITTER)
    T.random_crop(frozen, (60, 60), rng), T.random_scaled_crop(frozen, (9, 9), 0.5, 2, rng), T.random_flip(frozen, rng)


def test_labels_may_be_small_integers() -> None:
    wide = Sample(
        np.zeros((4, 400, 3), np.uint8), np.array([[10, 1]], np.uint8), boxes=np.array([[5, 0, 9, 3]], np.uint8)
    )
    mirrored = T.flip(wide)
    assert mirrored.points.tolist() == [[389.0, 1.0]] and mirrored.boxes.tolist() == [[391.0, 0.0, 395.0, 3.0]]
