"""Batches: a function of (seed, step), whoever asks, from where on, and with how many helpers."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdcda_tutorial import masks
from sdcda_tutorial.datasets import CrowdDataset, Sample
from sdcda_tutorial.datasets.batches import Augmentation, Batch, Batches, DensityKernel, PseudoMasked, crowd_mask
from sdcda_tutorial.errors import InputError

SIZE = (48, 64)
KERNEL = DensityKernel(sigma=2.0, kernel_size=7)


def marked(number: int) -> Sample:
    """A picture that shows its own labels: red 255 at each head's pixel, green 255 on the crowd, blue the number."""
    rng = np.random.default_rng(number)
    at = rng.choice(SIZE[0] * SIZE[1], size=20 + number, replace=False)
    rows, columns = np.divmod(at, SIZE[1])
    image = np.full((*SIZE, 3), number, dtype=np.uint8)
    image[..., :2] = 0
    image[rows, columns, 0] = 255
    mask = (rng.random(SIZE) < 0.3).astype(np.uint8)
    image[..., 1] = 255 * mask
    return Sample(image, np.stack([columns, rows], axis=1).astype(np.float32) + 0.5, mask=mask, name=str(number))


SAMPLES = [marked(number) for number in range(7)]


def make(augmentation: Augmentation | None = None, **options: object) -> Batches:
    settings: dict = {"batch_size": 6, "seed": 5, "kernel": KERNEL, **options}
    return Batches(SAMPLES, augmentation=augmentation or Augmentation((24, 32)), **settings)


def equal(a: Batch, b: Batch) -> bool:
    # The memory order too: convolutions round differently in another one.
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) and a[k].stride() == b[k].stride() for k in a)


def shown(batch: Batch) -> list[int]:
    """Numbers of the images in a batch, as their pixels tell."""
    return [round(float(image[2].min()) * 255) for image in batch["image"]]


# --- a function of seed and step --------------------------------------------------------------------------------------
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_step_has_one_batch_from_any_start_and_with_any_workers(workers: int) -> None:
    augmentation = Augmentation((24, 32), scale=(0.8, 1.5), jitter=0.3)
    whole = [make(augmentation)[step] for step in range(5)]
    for start in (0, 3):
        again = list(make(augmentation).from_step(start, 5, workers=workers))
        assert len(again) == 5 - start
        assert all(equal(a, b) for a, b in zip(again, whole[start:], strict=True))
    backwards = make(augmentation)  # the permutation that it remembers is no hidden state
    assert all(equal(backwards[step], whole[step]) for step in (4, 0, 3, 1))


def test_asking_neither_uses_nor_moves_the_global_random_state() -> None:
    first = make()[2]
    torch.manual_seed(123)
    np.random.seed(123)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    assert equal(make()[2], first)
    assert torch.equal(torch.get_rng_state(), before[0]) and (np.random.get_state()[1] == before[1]).all()


@pytest.mark.parametrize("change", [{"seed": 6}, {"stream": 1}])
def test_another_seed_or_stream_is_another_order_and_other_crops(change: dict) -> None:
    assert make().indices(0) + make().indices(1) != make(**change).indices(0) + make(**change).indices(1)
    # With one image the order is none: what differs then are crops and flips.
    one, other = Batches(SAMPLES[:1], 6, Augmentation((24, 32)), seed=5), make(**change)
    other.dataset = SAMPLES[:1]
    assert not torch.equal(one[0]["image"], other[0]["image"])


def test_every_image_of_a_batch_and_every_step_has_its_own_crop() -> None:
    batches = Batches(SAMPLES[:1], 6, Augmentation((24, 32)), seed=5)
    crops = [image.numpy().tobytes() for step in range(3) for image in batches[step]["image"]]
    assert len(set(crops)) == len(crops)


@pytest.mark.parametrize("batch_size", [1, 2, 6, 7, 9, 15])
def test_every_epoch_is_a_permutation(batch_size: int) -> None:
    batches = make(batch_size=batch_size)
    drawn = [index for step in range(4 * 7) for index in batches.indices(step)]
    epochs = [tuple(drawn[i : i + 7]) for i in range(0, len(drawn) - 6, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len(set(epochs)) > len(epochs) / 2  # not one order for ever
    assert shown(batches[3]) == batches.indices(3)  # and what is drawn is what is shown


# --- several processes ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("world_size", [2, 3, 6])
def test_the_shares_of_the_processes_make_up_the_one_batch(world_size: int) -> None:
    for step in (0, 1, 4):
        whole = make()[step]
        shares = [make(rank=rank, world_size=world_size)[step] for rank in range(world_size)]
        for key, value in whole.items():
            woven = torch.stack([share[key] for share in shares], dim=1).flatten(0, 1)  # slot s is rank s mod n's
            assert torch.equal(woven, value)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(InputError, match="6 cannot be shared by 4"):
        make(world_size=4)


# --- labels go with their pixels --------------------------------------------------------------------------------------
def test_density_and_mask_go_with_the_pixels() -> None:
    batches = make()
    flipped = 0
    for step in range(6):
        batch = batches[step]
        heads, crowd = batch["image"][:, 0] > 0.5, batch["image"][:, 1] > 0.5
        assert batch["image"].shape == (6, 3, 24, 32) and batch["density"].shape == batch["mask"].shape == (
            6,
            1,
            24,
            32,
        )
        assert torch.equal(batch["mask"][:, 0] == 1, crowd) and set(batch["mask"].unique().tolist()) == {0.0, 1.0}
        # The sum is the number of heads that the crop kept, no matter how near to its border.
        assert torch.allclose(batch["density"].sum(dim=(1, 2, 3)), heads.sum(dim=(1, 2)).float(), rtol=1e-4)
        for density, head in zip(batch["density"][:, 0], heads, strict=True):
            drawn = KERNEL.draw(Sample(np.zeros((24, 32, 3), np.uint8), head.nonzero().flip(1).numpy() + 0.5))
            assert torch.allclose(density, drawn, atol=1e-6)
        for number, red in zip(shown(batch), batch["image"][:, 0].numpy(), strict=True):
            flipped += not occurs(red * 255, SAMPLES[number].image[..., 0])
    assert 0 < flipped < 36  # some, not all


@pytest.mark.parametrize("size", [(182, 301), (400, 182), (480, 500), (600, 640)])
def test_an_image_smaller_than_the_crop_is_enlarged_with_its_labels(size: tuple[int, int]) -> None:
    """The smallest of ShanghaiTech A at the paper's crop. Each pixel's colour tells where in the image it was."""
    height, width = size
    rng = np.random.default_rng(0)
    points = (rng.random((60, 2)) * (width, height)).astype(np.float32)
    row, column = np.mgrid[:height, :width] + 0.5
    image = np.stack([column / width, row / height, np.zeros(size)], axis=2) * 255
    mask = (column < width / 2).astype(np.uint8)
    sample = Sample(image.round().astype(np.uint8), points, mask=mask)
    kept = 0
    for seed in range(4):
        seen = Augmentation((480, 640))(sample, np.random.default_rng(seed))
        assert seen.size == (480, 640) and len(seen.points) > 10
        x, y = seen.points.astype(int).T
        at = seen.image[y, x, :2] / 255 * (width, height)  # where the pixels under the points come from
        nearest = np.abs(at[:, None] - points[None]).max(axis=2).min(axis=1)
        assert nearest.max() < 0.01 * max(size) + 1  # a grey level is a 255th of the side
        assert ((seen.mask == 1) != (seen.image[..., 0] < 127.5)).mean() < 0.01
        kept += len(seen.points)
        assert float(KERNEL.draw(seen).sum()) == pytest.approx(len(seen.points), rel=1e-4)
    scale = max(480 / height, 640 / width, 1)  # no larger than need be: the crop shows as much of it as can be
    assert kept / 4 / 60 == pytest.approx(480 * 640 / (scale**2 * height * width), abs=0.12)


def occurs(part: np.ndarray, whole: np.ndarray) -> bool:
    windows = np.lib.stride_tricks.sliding_window_view(whole, part.shape)
    return bool((np.abs(windows - part).max(axis=(2, 3)) < 1).any())


def test_only_what_is_asked_for_is_made() -> None:
    assert make(kernel=None, mask=False)[0].keys() == {"image"}
    assert make(kernel=None)[0].keys() == {"image", "mask"}


def test_a_sample_without_a_mask_gets_one_from_its_boxes_else_from_its_points() -> None:
    image = np.zeros((80, 80, 3), np.uint8)
    points, boxes = np.array([[20.0, 10.0]], np.float32), np.array([[2, 3, 7, 9]], np.float32)
    own = np.eye(80, dtype=np.uint8)
    assert crowd_mask(Sample(image, points, boxes, own)) is own
    from_boxes = crowd_mask(Sample(image, points, boxes))
    assert from_boxes.sum() == 30 and from_boxes[3:9, 2:7].all()
    from_points = crowd_mask(Sample(image, points))
    assert from_points[10, 20] and 0 < from_points.sum() < 80 * 80
    assert not crowd_mask(Sample(image)).any()


# --- errors -----------------------------------------------------------------------------------------------------------
class OneIsBroken(list):  # type: ignore[type-arg]
    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if index == 3:
            raise InputError("image 3.jpg is broken: cut off; copy it again")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_is_one_line_in_a_worker_too(workers: int) -> None:
    batches = Batches(OneIsBroken(SAMPLES), 7, Augmentation((24, 32)), seed=0).from_step(0, 3, workers=workers)
    with pytest.raises(InputError) as caught:
        list(batches)
    assert str(caught.value) == "image 3.jpg is broken: cut off; copy it again"


# --- the target -------------------------------------------------------------------------------------------------------
def refuse(*_: object) -> None:
    raise AssertionError("somebody looked at the labels of the target")


@pytest.mark.slow
def test_the_target_is_its_images_and_the_masks(target: CrowdDataset, pseudo_masks: Path) -> None:
    blind = type("Blind", (type(target),), {"__getitem__": refuse, "_labels": refuse, "_load": refuse})
    unlabelled = target.subset(range(len(target)))
    unlabelled.__class__ = blind
    seen = PseudoMasked(unlabelled, pseudo_masks)
    assert len(seen) == len(target)
    for index, name in enumerate(target.names):
        sample = seen[index]
        assert sample.name == name and np.array_equal(sample.image, target.read_image(index))
        assert np.array_equal(sample.mask, masks.read_png(masks.path_of(pseudo_masks, name)))
        assert sample.count == 0 and len(sample.boxes) == 0
    assert PseudoMasked(unlabelled, None)[0].mask is None


def test_missing_and_misfitting_masks_are_named(target: CrowdDataset, tmp_path: Path) -> None:
    for name in target.names[1:]:
        masks.write_png(masks.path_of(tmp_path, name), np.zeros((10, 20)))
    with pytest.raises(InputError, match=rf"^1 of 6 pseudo-masks are missing .*{target.names[0]}\.png"):
        PseudoMasked(target, tmp_path)
    masks.write_png(masks.path_of(tmp_path, target.names[0]), np.zeros((10, 20)))
    with pytest.raises(InputError, match=rf"{target.names[2]}\.png is 20x10 but its image is 256x192"):
        PseudoMasked(target, tmp_path)[2]


# --- killed -----------------------------------------------------------------------------------------------------------
def load_for_ever(note: Path) -> None:
    batches = make().from_step(0, 10**6, workers=2)
    next(batches)
    note.with_suffix(".part").write_text(" ".join(str(worker.pid) for worker in multiprocessing.active_children()))
    note.with_suffix(".part").rename(note)
    time.sleep(600)


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_workers_outlive_what_is_sent_to_all_until_their_parent_has_ended_them() -> None:
    """One that died first would be a traceback in the parent's own end."""
    batches = make().from_step(0, 1000, workers=2)
    next(batches)
    workers = multiprocessing.active_children()
    for worker in workers:
        os.kill(worker.pid, signal.SIGTERM)
    time.sleep(0.3)
    assert len(workers) == 2 and all(worker.is_alive() for worker in workers)
    for _ in range(20):  # more than are prepared ahead
        next(batches)
    began = time.monotonic()
    del batches
    gc.collect()
    assert not any(worker.is_alive() for worker in workers) and time.monotonic() - began < 3


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_workers_end_at_once_with_a_killed_training(tmp_path: Path, start: Callable[..., Any]) -> None:
    process = start(load_for_ever, tmp_path / "workers")
    while not (tmp_path / "workers").exists():
        assert process.is_alive()
        time.sleep(0.02)
    workers = [int(pid) for pid in (tmp_path / "workers").read_text().split()]
    assert len(workers) == 2 and not any(map(ended, workers))
    os.kill(process.pid, signal.SIGKILL)
    end = time.monotonic() + 2  # by itself PyTorch looks every five seconds
    while not all(map(ended, workers)):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_mask_of_a_crop_is_the_crop_of_the_mask() -> None:
    """A head just above the crop leaves its body in it; the radii are those of all neighbours."""
    points = np.array([[64.0, 45.0], [64.0, 100.0]], np.float32)
    rng = np.random.default_rng(0)
    samples = [Sample(rng.integers(0, 256, (128, 128, 3), np.uint8), points, name=str(i)) for i in range(4)]
    whole = masks.from_points(points, (128, 128))
    crops = {}
    for batch in (Batches(samples, 4, Augmentation((64, 64)), seed=seed, kernel=KERNEL)[0] for seed in range(5)):
        for image, mask in zip((255 * batch["image"]).round().byte(), batch["mask"][:, 0].numpy(), strict=True):
            seen = image.permute(1, 2, 0).numpy()
            found = [
                (top, left, flipped)
                for sample in samples
                for flipped, picture in ((False, sample.image), (True, sample.image[:, ::-1]))
                for top in range(65)
                for left in range(65)
                if (picture[top : top + 64, left : left + 64] == seen).all()
            ]
            ((top, left, flipped),) = found
            crops[top] = mask
            of_whole = whole[:, ::-1] if flipped else whole
            assert (mask == of_whole[top : top + 64, left : left + 64]).all()
    assert any(top > 45 for top in crops)  # the first head is above it


def test_a_set_without_images_is_one_line() -> None:
    with pytest.raises(InputError, match="no images to learn from"):
        Batches([], 2, Augmentation((24, 32)), seed=0)
