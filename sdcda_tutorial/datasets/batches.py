"""Batches that depend on (seed, step) and on nothing else.

A data loader with a hidden state cannot be resumed exactly. Here batch number `step` follows from the seed and the step
alone: which images, which crop, which flip. A run that was killed asks for the batches from its last step on and gets
the ones it would have got, with any number of workers or processes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sdcda_tutorial import masks
from sdcda_tutorial.adaptation import Batch
from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.datasets.transforms import color_jitter, random_crop, random_flip, random_scaled_crop
from sdcda_tutorial.density import Kernel, density_map
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.guards.endings import end_after_parent
from sdcda_tutorial.networks import image_batch

SOURCE, TARGET = 0, 1  # streams of random numbers, so that the two domains of a run get different crops


@dataclass(frozen=True)
class Augmentation:
    """How a sample becomes a training example."""

    crop: tuple[int, int]  # (height, width) of the random window, multiples of the stride
    scale: tuple[float, float] = (1.0, 1.0)  # range of a random factor on the image before the crop
    jitter: float = 0.0  # strength of the colour changes

    def __post_init__(self) -> None:
        pixels = len(self.crop) == 2 and all(isinstance(side, int | np.integer) and side > 0 for side in self.crop)
        if not pixels or not 0 < self.scale[0] <= self.scale[1] < math.inf or not 0 <= self.jitter <= 1:
            raise InputError(
                f"{self}: a crop has pixels, a scale is above 0 with its lower end first, jitter from 0 to 1"
            )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if self.scale == (1.0, 1.0):
            sample = random_crop(sample, self.crop, rng)
        else:
            sample = random_scaled_crop(sample, self.crop, *self.scale, rng)
        sample = random_flip(sample, rng)
        if self.jitter:
            j = self.jitter
            sample = color_jitter(sample, rng, brightness=j, contrast=j, saturation=j, channel=j / 2)
        return sample


@dataclass(frozen=True)
class DensityKernel:
    """Which Gaussian `density_map` renders; see there. An adaptive σ follows the heads that are left in the crop."""

    kernel: Kernel = "fixed"
    sigma: float = 4.0
    kernel_size: int = 15

    def __post_init__(self) -> None:
        self.draw(Sample(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 2), np.float32)))  # impossible ones raise now

    def draw(self, sample: Sample) -> Tensor:
        """F(y) of one sample, (H, W), people per pixel."""
        return density_map(sample.points, sample.size, **asdict(self))


def crowd_mask(sample: Sample) -> np.ndarray:
    """z of a labelled sample: its own mask, else rectangles from its boxes, else from its points. (H, W) uint8."""
    if sample.mask is not None:
        return sample.mask
    boxes = _boxes_of(sample)
    return masks.from_boxes(boxes, sample.size) if len(boxes) else masks.from_points(sample.points, sample.size)


def _boxes_of(sample: Sample) -> np.ndarray:
    """(N, 4). CrowdHuman's "ignore" regions are people too dense or too hidden to box: at least not background."""
    return np.concatenate([sample.boxes, sample.attributes.get("ignored", np.zeros((0, 4)))])


class PseudoMasked(Sequence[Sample]):
    """The target domain as the adaptation sees it: images and pseudo-masks. Points and boxes are never read.

    Args:
        dataset: any data set; only its image paths, names and size are used.
        mask_folder: holds NAME.png for every image, as `training.mask_model.write_pseudo_masks` writes it; None
            where only the images are needed (λt = 0).
    """

    labelled = False

    def __init__(self, dataset: CrowdDataset, mask_folder: str | Path | None) -> None:
        self.dataset, self.mask_folder = dataset, None if mask_folder is None else Path(mask_folder)
        self._samples: dict[int, Sample] = {}
        if self.mask_folder is not None:
            missing = [name for name in dataset.names if not os.path.exists(masks.path_of(self.mask_folder, name))]
            if missing:
                raise InputError(
                    f"{len(missing)} of {len(dataset)} pseudo-masks are missing in {self.mask_folder}, first "
                    f"{missing[0]}.png; make them with `write_pseudo_masks`"
                )

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        if index in self._samples:
            return self._samples[index]
        name, image = self.dataset.names[index], self.dataset.read_image(index)
        folder = self.mask_folder
        mask = None if folder is None else masks.read_png(masks.path_of(folder, name), image.shape[:2])
        sample = Sample(image, mask=mask, name=name, labelled=False)
        if self.dataset.cached:
            self._samples[index] = sample.read_only()
        return sample


@dataclass(eq=False)
class Batches(Dataset[Batch]):
    """`batches[step]` is the batch of that step: this process's share of the global batch.

    Every epoch is a fresh permutation of the images; a global batch takes the next `batch_size` of them.
    """

    dataset: Sequence[Sample]
    batch_size: int  # global, over all processes
    augmentation: Augmentation
    _: KW_ONLY
    seed: int  # decides everything together with `stream`
    stream: int = SOURCE  # or TARGET: different random numbers for the two data sets of a run
    kernel: DensityKernel | None = None  # renders the density maps; None where they are not needed
    mask: bool = True  # whether a crowd mask is wanted
    rank: int = 0  # this process takes slots rank, rank + world_size, ... of the global batch
    world_size: int = 1

    def __post_init__(self) -> None:
        if not len(self.dataset):
            raise InputError("there are no images to learn from")
        if self.batch_size % self.world_size:
            raise InputError(
                f"a batch of {self.batch_size} cannot be shared by {self.world_size} processes; make it a multiple"
            )
        self.slots = range(self.rank, self.batch_size, self.world_size)
        self._epoch: tuple[int, np.ndarray] = (-1, np.zeros(0, dtype=int))

    def _rng(self, *place: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.stream, *place])

    def indices(self, step: int) -> list[int]:
        """Which images this process sees at `step`."""
        chosen = []
        for slot in self.slots:
            epoch, position = divmod(step * self.batch_size + slot, len(self.dataset))
            if self._epoch[0] != epoch:
                self._epoch = epoch, self._rng(epoch).permutation(len(self.dataset))
            chosen.append(int(self._epoch[1][position]))
        return chosen

    def __getitem__(self, step: int) -> Batch:
        """image (B, 3, H, W) float in [0, 1]; density (B, 1, H, W) people per pixel; mask (B, 1, H, W) 0 or 1."""
        samples = []
        for index, slot in zip(self.indices(step), self.slots, strict=True):
            (sample := self.dataset[index]).require_sound(labelled=self.kernel is not None)
            if self.mask and sample.mask is None and not len(_boxes_of(sample)):
                # Before the crop: people whose heads are beyond its border reach into it.
                sample = replace(sample, mask=masks.from_points(sample.points, sample.size))
            samples.append(self.augmentation(sample, self._rng(step, slot)))
        images = np.stack([sample.image for sample in samples])
        batch = {"image": image_batch(images)}
        if self.kernel is not None:
            batch["density"] = torch.stack([self.kernel.draw(sample) for sample in samples])[:, None]
        if self.mask:
            batch["mask"] = torch.from_numpy(np.stack([crowd_mask(sample) for sample in samples])).float()[:, None]
        return batch

    def from_step(self, start: int, stop: int, *, workers: int = 0, pin_memory: bool = False) -> Iterator[Batch]:
        """The batches of steps start ... stop - 1, prepared ahead by `workers` processes."""
        loaded = iter(
            DataLoader(
                self,
                batch_size=None,  # one item is a whole batch already
                sampler=range(start, stop),
                num_workers=workers,
                pin_memory=pin_memory,
                prefetch_factor=4 if workers else None,
                worker_init_fn=end_after_parent,
            )
        )
        return _one_line_errors(loaded) if workers else loaded


def micro_batches(batch: Batch | None, parts: int) -> list[Any]:
    """A batch in `parts` consecutive parts of equal size, or nearly: what passes through the networks at a time."""
    if batch is None or parts == 1:
        return [batch] * parts
    split = {key: value.tensor_split(parts) for key, value in batch.items()}
    return [{key: value[part] for key, value in split.items()} for part in range(parts)]


def _one_line_errors(loaded: Iterator[Batch]) -> Iterator[Batch]:
    """A worker's error comes with the worker's traceback for its message; its last line is what we wrote."""
    try:
        yield from loaded
    except InputError as error:
        *traceback, last = str(error).rstrip().splitlines()
        raise InputError(last.partition(f"{InputError.__name__}: ")[2] if traceback else last) from None


def default_workers(on_gpu: bool) -> int:
    """Worker processes for the data: beside a GPU the CPU is free for it; on a CPU they would only be in the way."""
    return min(8, max(1, (os.cpu_count() or 2) - 1)) if on_gpu else 0
