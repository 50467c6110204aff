"""CycleGAN and SE CycleGAN: learn, from unpaired images alone, to repaint the source in the style of the target.

The rivals of Table 1 translate first (`train_translation`, then `translated_source.translate`) and train a counter on
the translated images, with the source's labels, as if they were real.

One step:

    1. xs and xt; both translated, both translated back, both also handed to the generator into their own domain;
    2. translated images should look real to the discriminators, cycles should end where they began, images that are
       of a domain already should stay as they are; SE CycleGAN: cycles should keep the structure (SSIM);
    3. the weighted sum moves both generators;
    4. the discriminators learn to tell images of their domain (1) from translated ones (0), of which some are old
       (`ImagePool`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sdcda_tutorial.adaptation import Batch
from sdcda_tutorial.datasets.batches import SOURCE, TARGET, Batches, PseudoMasked
from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import atomic_path
from sdcda_tutorial.rivals import cyclegan_losses as losses
from sdcda_tutorial.rivals.cyclegan import Discriminators, Generators, ImagePool
from sdcda_tutorial.rivals.translation_config import TranslationConfig, linear_decay
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.config import refuse_impossible_length
from sdcda_tutorial.training.hardware import Hardware, denormals_are_zero, on_device
from sdcda_tutorial.training.log import Records
from sdcda_tutorial.training.loop import Training, require_finite
from sdcda_tutorial.training.rehearsal import Rehearsal
from sdcda_tutorial.training.saving import RunFolder

KIND = "translation"
PREVIEW_IMAGES = 3  # of each domain


class Translation:
    """The networks of one training, what moves them, and the step that does.

    Attributes:
        generators, discriminators: see `rivals.cyclegan`.
        pools: old images "s_to_t" and "t_to_s".
        optimizers: "generators", "discriminators".
    """

    def __init__(self, config: TranslationConfig, fabric: Fabric, hardware: Hardware | None = None) -> None:
        self.config, self.fabric = config, fabric
        torch.manual_seed(config.seed)
        self.generators = Generators(config.blocks, config.width)
        self.discriminators = Discriminators(config.discriminator_width)
        self.pools = {name: ImagePool(config.pool, config.augmentation.crop) for name in ("s_to_t", "t_to_s")}
        for pool in self.pools.values():
            pool.to(fabric.device)
        self.optimizers: dict[str, Any] = {}
        for name, networks in {"generators": self.generators, "discriminators": self.discriminators}.items():
            # In channels_last a step on the CPU took twice as long: instance norm wants a channel in one piece.
            (hardware or Hardware()).prepare(networks, channels_last=False)
            adam = torch.optim.Adam(networks.parameters(), config.learning_rate, betas=(0.5, 0.999))
            # The wrapped module goes: there is one process, and the step says itself what runs in which precision.
            _, self.optimizers[name] = fabric.setup(networks, adam)

    def step(self, source: Batch, target: Batch) -> dict[str, Tensor]:
        """One step of both generators, then one of both discriminators; the loss terms by name.

        Args:
            source, target: image (B, 3, H, W) of each.
        Raises:
            FloatingPointError: a loss is NaN or infinite; the weights it would have moved are untouched.
        """
        xs, xt = source["image"], target["image"]
        with self.fabric.autocast():
            made = self.generators(xs, xt)
        terms = self.generator_losses(made, xs, xt)
        self._minimise("generators", losses.total_loss(terms, self.config.weights), terms)
        shown = {name: pool.exchange(made[name]) for name, pool in self.pools.items()}
        with self.fabric.autocast():
            of_source, of_target = self.discriminators.of_source, self.discriminators.of_target
            seen = {
                "D_source": losses.patch_loss(of_source(xs), of_source(shown["t_to_s"])),
                "D_target": losses.patch_loss(of_target(xt), of_target(shown["s_to_t"])),
            }
        self._minimise("discriminators", seen["D_source"] + seen["D_target"], seen)
        return {name: value.detach() for name, value in (terms | seen).items()}

    def generator_losses(self, made: Mapping[str, Tensor], xs: Tensor, xt: Tensor) -> dict[str, Tensor]:
        """Each term for both directions together."""
        weights = self.config.weights
        # The generators are to change here, not the discriminators; these let the gradient through.
        self.discriminators.requires_grad_(False)
        with self.fabric.autocast():
            looks = self.discriminators.of_target(made["s_to_t"]), self.discriminators.of_source(made["t_to_s"])
        self.discriminators.requires_grad_(True)
        terms = {"fooling": losses.fooling_loss(looks[0]) + losses.fooling_loss(looks[1])}
        terms["cycle"] = _both(losses.reconstruction_loss, made, "cycle", xs, xt)
        terms["identity"] = _both(losses.reconstruction_loss, made, "same", xs, xt)
        if weights.structure > 0:
            terms["structure"] = _both(losses.structure_loss, made, "cycle", xs, xt)
        return terms

    def _minimise(self, name: str, loss: Tensor, terms: Mapping[str, Tensor]) -> None:
        require_finite(terms)
        self.optimizers[name].zero_grad()
        self.fabric.backward(loss)
        self.optimizers[name].step()

    def modules(self) -> dict[str, nn.Module]:
        """All that training changes, by name; the pools are of it."""
        pools = nn.ModuleDict(self.pools)
        return {"generators": self.generators, "discriminators": self.discriminators, "pools": pools}


def _both(
    loss: Callable[[Tensor, Tensor], Tensor], made: Mapping[str, Tensor], what: str, xs: Tensor, xt: Tensor
) -> Tensor:
    return loss(made[f"s_{what}"], xs) + loss(made[f"t_{what}"], xt)


@denormals_are_zero()
def train_translation(
    source: CrowdDataset,
    target: CrowdDataset,
    config: TranslationConfig,
    folder: str | Path,
    *,
    hardware: Hardware | None = None,
    records: Records | None = None,
    resume: bool = False,
    description: str = "translation",
    rehearsal: Rehearsal | None = None,
) -> Path:
    """Train the generators between two domains, of which only images are read, and give the path of their checkpoint.

    Args:
        source, target: two data sets; labels are never read.
        config: what to do.
        folder: a new folder for the run (`training.saving` lists what it will hold), with `previews/step_000200.png`
            and so on; with `resume` an old one.
        hardware: one device.
        records: what to leave besides the run's own files.
        rehearsal: take a few steps, measure and write nothing; see `training.rehearsal`.

    Raises:
        InputError: data or folder do not fit, or several devices are asked for.
        TrainingStopped: a loss became NaN or infinite.
    """
    hardware, folder = hardware or Hardware(), Path(folder)
    refuse_several_devices(hardware)
    refuse_impossible_length(config.steps, config.batch_size)
    fabric = hardware.launch()
    translation = Translation(config, fabric, hardware)
    steps = config.total_steps(len(source))

    def batches_of(dataset: CrowdDataset, stream: int) -> Batches:
        images = PseudoMasked(dataset, None)
        return Batches(images, config.batch_size, config.augmentation, seed=config.seed, stream=stream, mask=False)

    domains = batches_of(source, SOURCE), batches_of(target, TARGET)
    # The same crops every time: how they change is what one wants to see.
    shown = [torch.cat([domain[step]["image"] for step in range(PREVIEW_IMAGES)]) for domain in domains]
    xs, xt = (images[:PREVIEW_IMAGES].to(fabric.device) for images in shown)

    def step_and_preview(source_batch: Batch, target_batch: Batch, step: int) -> dict[str, Tensor]:
        terms = translation.step(source_batch, target_batch)
        if rehearsal is None and ((step + 1) % config.preview_every == 0 or step + 1 == steps):
            write_preview(folder / "previews" / f"step_{step + 1:06d}.png", translation.generators, xs, xt)
        return terms

    def batches(start: int) -> Iterator[tuple[Batch, Batch, int]]:
        of_source, of_target = (on_device(domain, fabric, start, steps, hardware.workers) for domain in domains)
        return zip(of_source, of_target, range(start, steps), strict=True)

    training = Training(
        RunFolder(
            folder, fabric=fabric, records=records or Records(),
            config={**asdict(config), "source_data": source.describe(), "target_data": target.describe()},
            card={"kind": KIND, "architecture": {"generators": translation.generators.architecture}},
            modules=translation.modules(), deployed={"generators": translation.generators},
            optimizers=translation.optimizers,
        ),
        step=step_and_preview, batches=batches, steps=steps, images=len(source), description=description,
        rates=lambda step: dict.fromkeys(translation.optimizers, linear_decay(config.learning_rate, step, steps)),
        save_every=config.save_every,
    )  # fmt: skip
    return training.finish(resume) if rehearsal is None else rehearsal.measure(training, resume)


def refuse_several_devices(hardware: Hardware) -> None:
    """Raise an InputError for hardware that would share out a batch."""
    if hardware.processes > 1 or hardware.accumulate > 1:
        raise InputError("a translation is trained on one device, a batch at a time; drop `devices` and `accumulate`")


@torch.no_grad()
def write_preview(path: Path, generators: Generators, xs: Tensor, xt: Tensor) -> None:
    """A PNG of rows "image, translated, and back again": first of the source images, then of the target images.

    Args:
        xs, xt: (B, 3, H, W) of one size.
    """
    from torchvision.utils import save_image

    made = generators(xs, xt)
    rows = [
        *zip(xs, made["s_to_t"], made["s_cycle"], strict=True),
        *zip(xt, made["t_to_s"], made["t_cycle"], strict=True),
    ]
    with atomic_path(path) as temporary:
        save_image([image for row in rows for image in row], temporary, nrow=3, padding=4, pad_value=1.0)


def load_generators(path: str | Path) -> tuple[Generators, dict[str, Any]]:
    """The generators of a checkpoint that `train_translation` has written, ready to translate, and its card.

    Raises:
        InputError: the file is missing, broken, or holds no translation.
    """
    tensors, card = checkpoints.load(path)
    if card.get("kind") != KIND or "state" in card:
        raise InputError(f"checkpoint {path} holds no translation; give the model.safetensors of a translation's run")
    generators = checkpoints.build(lambda: Generators(**card["architecture"]["generators"]), path)
    checkpoints.load_weights(generators, tensors, "generators", path)
    return generators.eval(), card
