"""Pseudo-masks: a crowd segmenter trained on detection boxes, and its predictions on the target (end of Sec. 2.2).

The paper trains "a model with the CrowdHuman dataset to generate the semantic label" and says no more about it. Ours is
E followed by S, trained with Eq. 7 on the boxes of a detection data set. That is why its masks are rough and
rectangular, and why Eq. 8-9 trust their background only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from sdcda_tutorial import losses, masks
from sdcda_tutorial.adaptation import Batch
from sdcda_tutorial.datasets.batches import Batches, PseudoMasked, micro_batches
from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset
from sdcda_tutorial.datasets.images import image_size
from sdcda_tutorial.datasets.sample import refuse_unlabelled
from sdcda_tutorial.datasets.transforms import resize_image
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import file_digest, in_utf8, read_object, refuse_long_names, regular_file, write_json
from sdcda_tutorial.folding import in_evaluation
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.guards.provenance import IMAGES, claim, difference, forgetting_contents
from sdcda_tutorial.networks import CrowdCounter, SemanticExtractor, batch_for
from sdcda_tutorial.pixels import as_rgb
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.config import SegmenterConfig, polynomial
from sdcda_tutorial.training.hardware import Hardware, own_state
from sdcda_tutorial.training.imagenet_weights import imagenet_origin, load_imagenet_weights
from sdcda_tutorial.training.loop import Training, require_finite
from sdcda_tutorial.training.processes import average_buffers, shared_out
from sdcda_tutorial.training.rehearsal import Rehearsal
from sdcda_tutorial.training.saving import Records, RunFolder

if TYPE_CHECKING:
    from lightning_fabric import Fabric  # slow to import

NOTE_EVERY = 30.0  # seconds: masks that a kill leaves unnoted are predicted again, and compared
MASK_PIXELS = 2**21  # what S sees at most: an image of GCC, 1080 × 1920, is just below
PROVENANCE, MASKS = "provenance.json", "masks_sha256"  # the file about masks, and in it image -> digest of its mask


class Segmenter(nn.Module):
    """E followed by S: images (B, 3, H, W) -> logits (B, 1, H, W)."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        counter = CrowdCounter(config.stride, config.width)
        self.architecture, self.E = counter.architecture, counter.E
        self.S = SemanticExtractor(self.E.channels, config.stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.S(self.E(x))


@own_state()
def train_segmenter(
    dataset: CrowdDataset, config: SegmenterConfig, folder: str | Path, *, vgg_weights: str | Path | None = None,
    hardware: Hardware | None = None, records: Records | None = None, resume: bool = False,
    report: Callable[[int, int], None] | None = None, rehearsal: Rehearsal | None = None,
) -> Path:  # fmt: skip
    """Train the mask model on a data set with boxes (or masks, or points) and return the path of its checkpoint.

    Args and errors as in `training.adapt`.
    """
    refuse_unlabelled(dataset)
    hardware, folder = hardware or Hardware(), Path(folder)
    fabric, steps = hardware.launch(), config.total_steps(len(dataset))
    torch.manual_seed(config.seed)
    segmenter = Segmenter(config)
    if config.pretrained and not (resume and (folder / "last.safetensors").exists()):
        with fabric.rank_zero_first(local=True):  # one download a machine
            load_imagenet_weights(segmenter.E, vgg_weights)
    hardware.refuse_small_parts(config.batch_size, fabric.world_size, at_least=2)  # S needs two
    hardware.prepare(segmenter)
    wrapped, optimizer = fabric.setup(segmenter, torch.optim.Adam(segmenter.parameters(), config.learning_rate))

    def step(batch: Batch) -> dict[str, Tensor]:
        optimizer.zero_grad()
        total = torch.zeros((), device=fabric.device)
        parts = micro_batches(batch, hardware.accumulate)
        for number, part in enumerate(parts, start=1):
            with fabric.no_backward_sync(wrapped, enabled=number < len(parts)):  # gradients are averaged once a step
                loss = losses.source_segmentation_loss(wrapped(part["image"]), part["mask"])
                loss = loss * (len(part["image"]) / len(batch["image"]))
                require_finite({"segmentation": loss})
                fabric.backward(loss)
            total += loss.detach()
        optimizer.step()
        average_buffers(segmenter, fabric)
        return {"segmentation": total}

    boxed = Batches(
        dataset, config.batch_size, config.augmentation,
        seed=config.seed, rank=fabric.global_rank, world_size=fabric.world_size,
    )  # fmt: skip
    imagenet = imagenet_origin(config.pretrained, vgg_weights)

    def data() -> dict[str, Any]:
        return {"boxes_data": dataset.describe()}

    training = Training(
        RunFolder(
            folder, fabric=fabric, records=records or Records(),
            config={**asdict(config), **imagenet, **data()},
            card={"kind": "segmenter", "architecture": {"counter": segmenter.architecture}},
            modules={"segmenter": segmenter}, deployed={"counter.E": segmenter.E, "S": segmenter.S},
            optimizers={"segmenter": optimizer},
        ),
        step=step, domains=[boxed], steps=steps, images=len(dataset), description="mask model",
        report=report, workers=hardware.workers,
        rates=lambda step: {"segmenter": polynomial(config.learning_rate, step, steps)},
        save_every=config.save_every, data=data,
    )  # fmt: skip
    return training.finish(resume) if rehearsal is None else rehearsal.measure(training, resume)


@torch.inference_mode()
def crowd_probability(segmenter: nn.ModuleDict, image: object, scale: float = 1.0) -> np.ndarray:
    """Probability of crowd at each pixel.

    S looks at the whole image at once (its pyramid pooling), so there are no tiles: a larger image is shrunk to
    `MASK_PIXELS`.

    Args:
        segmenter: E and S, as `checkpoints.load_segmenter` returns them.
        image: (H, W, 3) uint8 RGB, or what `pixels.as_rgb` takes.
        scale: 2 shows the segmenter the people twice as large.
    Returns:
        (H, W) float32 in [0, 1].
    """
    image = as_rgb(image)
    size, stride = image.shape[:2], segmenter["E"].stride
    most = math.sqrt(MASK_PIXELS / (size[0] * size[1]))  # the scale at which the image fills one pass
    if most < 1:
        image = resize_image(image, (math.ceil(size[0] * most), math.ceil(size[1] * most)))
    x = batch_for(segmenter, image)
    # To the nearest multiple of the stride, so that nothing has to be padded.
    fitted = [max(stride, round(side * min(scale, most) / stride) * stride) for side in size]
    resized = F.interpolate(x, size=fitted, mode="bilinear", antialias=True, align_corners=False)
    with in_evaluation(segmenter):
        logits = segmenter["S"](segmenter["E"](resized.contiguous(memory_format=torch.channels_last)))
    probability = F.interpolate(logits.sigmoid().float(), size=size, mode="bilinear")  # (1, 1, H, W)
    return probability[0, 0].cpu().numpy()


def write_pseudo_masks(
    checkpoint: str | Path,
    target: CrowdDataset,
    folder: str | Path,
    *,
    threshold: float = 0.3,
    dilate: int = 2,
    hardware: Hardware | None = None,
) -> Path:
    """Predict the crowd mask of every target image and write it as NAME.png to `folder`, which is returned.

    A mask that exists from the same checkpoint and options is kept, so an interrupted run continues where it was; one
    that was changed since is refused. While another process writes masks there, this one waits.

    Args:
        checkpoint: mask model, from `train_segmenter`.
        target: only its images are read.
        folder: gets a file about the masks' origin too; foreign files are left alone, foreign masks are refused.
        threshold: crowd where the probability is above it. Low, since only the background will be trusted: a missed
            person does harm (the target loss learns it as background), a bit too much crowd does not. But where
            nearly all is crowd, nothing is left to trust.
        dilate: pixels by which the crowd grows to every side, for the same reason.
        hardware: the precision is float32 in any case.
    Raises:
        InputError: a threshold or dilation that makes no sense, no segmenter in the checkpoint, or the folder holds
            masks of another origin, or changed ones.
    """
    masks.from_probability(np.zeros((1, 1)), threshold, dilate=dilate)  # impossible settings raise now
    threshold, dilate, folder = float(threshold), int(dilate), Path(folder)  # of whatever kind of number
    fabric = (hardware or Hardware()).launch()
    segmenter, _ = checkpoints.load_segmenter(checkpoint)
    segmenter.to(fabric.device).to(memory_format=torch.channels_last)
    about = {"target": target.describe(labelled=False), "threshold": threshold, "dilate": dilate}
    origin = {"weights_sha256": checkpoints.weights_digest(checkpoint), **about, IMAGES: images_of(target)}

    def predict(index: int) -> np.ndarray:
        with forgetting_contents(folder / PROVENANCE, in_utf8(target.names[index])):
            image = target.read_image(index)
        return masks.from_probability(crowd_probability(segmenter, image), threshold, dilate=dilate)

    write_masks(folder, target.names, predict, origin, fabric, bar="pseudo-masks")
    return folder


def write_masks(
    folder: Path,
    names: Sequence[str],
    make: Callable[[int], np.ndarray],
    origin: Mapping[str, Any],
    fabric: Fabric,
    bar: str | None = None,
) -> None:
    """Write the mask of each image to `folder`, which is claimed for them; what is there and known is kept.

    The digests of the masks are written down every half minute. One that is there and not known, of a run that was
    killed, is made again and compared.

    Args:
        names: of the images.
        make: (H, W) mask of the image with this index.
        origin: what the masks are made of.
        bar: of a progress bar.
    Raises:
        InputError: a mask was changed, or is of something else; or the folder is.
    """
    first, since = fabric.is_global_zero, time.monotonic()
    refuse_long_mask_names(folder, names)

    def write(index: int) -> str:
        nonlocal since
        path, name = masks.path_of(folder, names[index]), in_utf8(names[index])
        there = is_whole(path)
        if there and (name in known or not at_once):
            refuse_changed(path, known.get(name))
            return file_digest(path)
        mask = make(index)
        if not there:
            masks.write_png(path, mask)
        elif not _same(path, mask):  # of a run that was killed before it noted this one: somebody may have changed it
            refuse_changed(path, "another")
        known[name] = file_digest(path)
        if first and time.monotonic() > since + NOTE_EVERY:
            note_masks(folder, known)
            since = time.monotonic()
        return known[name]

    with one_writer(folder, wait=math.inf, fabric=fabric, also={masks.path_of(folder, name).parent for name in names}):
        new = not (folder / PROVENANCE).exists()
        fabric.barrier()  # every process has looked before the first one writes
        claim(folder, origin, PROVENANCE, what="masks", foreign="*.png", fabric=fabric)
        if new and first:
            note_masks(folder, {})
        fabric.barrier()
        known, at_once = known_masks(folder), MASKS in read_object(folder / PROVENANCE)  # earlier: at the end only
        digests = shared_out(write, range(len(names)), fabric, bar=bar)
        if first:
            note_masks(folder, dict(zip(map(in_utf8, names), digests, strict=True)))


def refuse_long_mask_names(folder: Path, names: Sequence[str]) -> None:
    """Raise an InputError for an image whose mask could not be written: its name is that of the image and .png."""
    for name in names:
        refuse_long_names(masks.path_of(folder, name))


def images_of(target: CrowdDataset) -> dict[str, str]:
    """Name of each image -> digest of its picture."""
    return dict(zip(map(in_utf8, target.names), target.digests(labelled=False), strict=True))


def known_masks(folder: Path) -> dict[str, str]:
    """Name of each image -> digest of the mask that was written for it; earlier versions noted nothing."""
    noted = read_object(folder / PROVENANCE).get(MASKS)
    return noted if isinstance(noted, dict) else {}


def note_masks(folder: Path, made: dict[str, str]) -> None:
    """Write down the digests of the masks, where they are not known yet."""
    if made != read_object(folder / PROVENANCE).get(MASKS):
        write_json(folder / PROVENANCE, read_object(folder / PROVENANCE) | {MASKS: made})


def refuse_changed(path: Path, digest: str | None) -> None:
    """Raise an InputError for a mask that is not the one with this digest; None: nothing is known of it."""
    if digest not in (None, file_digest(path)):
        raise InputError(
            f"{path} is not the mask that was written there; remove it to have it made again, or keep masks of your "
            "own in another folder"
        )


def _same(path: Path, mask: np.ndarray) -> bool:
    """Whether the file holds this mask, but for a hundredth of its pixels: other hardware rounds otherwise."""
    try:
        return bool((masks.read_png(path, mask.shape[:2]) != mask).mean() < 0.01)
    except InputError:
        return False


def is_whole(path: Path) -> bool:
    """Whether there is a mask that can be read, or a picture that has taken its name."""
    try:
        masks.read_png(path)
    except InputError:
        with suppress(Exception), Image.open(regular_file(path)) as image:  # a pipe would wait
            return image.format != "PNG"  # somebody's own, which is not written over
        return False
    return True


def origin_of_masks(folder: str | Path) -> dict[str, Any] | None:
    """What `write_pseudo_masks` has noted of the masks of a folder as a whole, and how many were changed since.

    None for masks from elsewhere.
    """
    folder = Path(folder)
    if not (folder / PROVENANCE).exists():
        return None
    about = {key: value for key, value in read_object(folder / PROVENANCE).items() if key not in (IMAGES, MASKS)}
    paths = {masks.path_of(folder, name): digest for name, digest in known_masks(folder).items()}
    changed = sum(path.exists() and file_digest(path) != digest for path, digest in paths.items())
    return about | ({"changed_since": changed} if changed else {})


def refuse_unfit_masks(folder: str | Path, target: CrowdDataset) -> None:
    """Raise an InputError where `target` cannot be trained on with the masks of a folder.

    A mask is missing, damaged or of another size than its image, or was made of another image than the one that has its
    name in `target`. Whose image it is is not known of masks from elsewhere, or from before that was noted.
    """
    PseudoMasked(target, folder)
    about = read_object(Path(folder) / PROVENANCE) if (Path(folder) / PROVENANCE).exists() else {}
    known = about.get(IMAGES)
    if isinstance(known, dict):
        digests = images_of(target)
        if other := [name for name, digest in digests.items() if known.get(name, digest) != digest]:
            raise InputError(
                f"{folder} holds masks of other images than {target.name} has under their names ({len(other)} of "
                f"{len(digests)}, first {other[0]}); make masks of these with `write_pseudo_masks`"
            )
    elif "control" in about:
        then, now = about.get("target", {}), target.describe(labelled=about["control"] == "perfect")
        if then.get("images") == now["images"] and difference(then, now):  # else it is a part
            raise InputError(f"{folder} holds control masks of another target; make masks with `write_pseudo_masks`")
    then, asked = about.get("target", {}), target.describe(labelled=False)
    resized = [key for key in ("size", "max_side") if key in then and then[key] != asked[key]]
    for index, name in enumerate(target.names):
        path, wanted = masks.path_of(folder, name), target.size_of(index)
        if resized and (found := image_size(path)) != wanted:
            raise InputError(
                f"{path} is {found[1]}x{found[0]} and its image here {wanted[1]}x{wanted[0]}; give the `size` that the "
                "masks were made at, or make masks at this one with `write_pseudo_masks`"
            )
        masks.refuse_unreadable(path, wanted)
