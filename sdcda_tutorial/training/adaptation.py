"""The paper: train E, C, S and D on labelled synthetic and unlabelled real images, Eq. 5.

One step, as it can be recited:

    1. a source batch (images xs, density maps F(ys), crowd masks zs) and a target batch (images xt, pseudo-masks zt);
    2. features fs, ft = E(xs), E(xt);
    3. ŷs = C(fs) against F(ys), Eq. 6;   ẑs = S(fs) against zs, Eq. 7;
       ẑt = S(ft) against the background of zt, Eq. 8-9;   D(ft) should say "source", Eq. 10;
    4. their weighted sum, Eq. 5, moves E, C and S;
    5. D learns to tell detached fs (1) from detached ft (0).

A λ of zero switches its part off: S, D and the target batch are not even made where no λ asks for them. So no
adaptation, SE, FD and SE+FD are one loop with different weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sdcda_tutorial import losses
from sdcda_tutorial.datasets.base import CrowdDataset
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import file_digest, folder_digest
from sdcda_tutorial.models import CrowdCounter, FeatureDiscriminator, SemanticExtractor
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.batches import (
    STREAMS,
    Batch,
    Batches,
    PseudoMasked,
    default_workers,
)
from sdcda_tutorial.training.config import AdaptationConfig
from sdcda_tutorial.training.loop import Hardware, Run, polynomial, require_finite


class Networks(nn.Module):
    """E, C and, where a λ asks for it, S: one module with one forward pass, as several processes need it."""

    def __init__(self, config: AdaptationConfig) -> None:
        super().__init__()
        self.counter = CrowdCounter(config.stride, config.width, config.kernels, config.label_factor)
        self.S: SemanticExtractor | None = None
        if config.needs_semantic_extractor:
            self.S = SemanticExtractor(self.counter.E.channels, config.stride)

    def forward(self, xs: Tensor, xt: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
        """Scaled density ŷs (B, 1, H, W), mask logits and features f of the source images, then the target images."""
        # Both domains in one pass: the batch norm statistics, which the deployed counter keeps, are of both.
        f = self.counter.E(xs if xt is None else torch.cat([xs, xt]))
        density = self.counter.C(f[: len(xs)])
        return density, None if self.S is None else self.S(f), f


def adapt(
    source: CrowdDataset,
    target: CrowdDataset | None,
    config: AdaptationConfig,
    folder: str | Path,
    *,
    pseudo_masks: str | Path | None = None,
    init: str | Path | None = None,
    vgg_weights: str | Path | None = None,
    hardware: Hardware | None = None,
    resume: bool = False,
    description: str = "adapt",
) -> Path:
    """Train a crowd counter on the labelled `source` and the unlabelled `target`.

    Args:
        source: labelled images; a part (`config.holdout`) is kept back to choose the model.
        target: images of the target domain; their labels are never read. None where no λ needs them.
        config: what to do.
        folder: a new folder for the run (`training.loop` lists what it will hold); with `resume` an old one.
        pseudo_masks: folder of the target's masks, needed where λt > 0.
        init: checkpoint whose E and C to begin with.
        vgg_weights: file with torchvision's VGG16-BN weights, for `config.pretrained` without a network.

    Returns:
        Path of the chosen model.

    Raises:
        InputError: data, masks, checkpoint or folder do not fit.
        TrainingStopped: a loss became NaN or infinite.
    """
    hardware, folder = hardware or Hardware(), Path(folder)
    fabric = hardware.launch()
    if config.batch_size < 1 or config.steps < 0:
        raise InputError(f"cannot do {config.steps} steps of {config.batch_size} images; give positive numbers")
    trained_on, held_out = split_source(source, config)
    steps = config.total_steps(len(trained_on))
    if config.needs_target and target is None:
        raise InputError("this method learns from target images, but no target was given; name one with --target")
    if config.weights.seg_target > 0 and pseudo_masks is None:
        raise InputError(
            "λt > 0 needs pseudo-masks of the target; make them with `sdcda masks` and give --masks FOLDER"
        )
    # Made before anything is written: a missing mask must not leave a folder that counts as a run.
    unlabelled = (
        PseudoMasked(target, pseudo_masks if config.weights.seg_target > 0 else None)
        if config.needs_target and target is not None
        else None
    )

    torch.manual_seed(config.seed)
    networks = Networks(config)
    discriminator = (
        FeatureDiscriminator(networks.counter.E.channels, config.discriminator_width)
        if config.weights.adversarial > 0
        else None
    )
    if init is not None:
        tensors, card = checkpoints.load(init)
        checkpoints.refuse_other_architecture(card, networks.counter.architecture, init)
        checkpoints.load_weights(networks.counter, tensors, "counter", init)
    elif config.pretrained and not (resume and (folder / "last.safetensors").exists()):
        networks.counter.E.load_imagenet(vgg_weights)

    networks.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(networks.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    wrapped, optimizer = fabric.setup(networks, optimizer)
    modules: dict[str, nn.Module] = {"networks": networks}
    optimizers: dict[str, Any] = {"networks": optimizer}
    average: AveragedModel | None = None
    if config.average > 0:
        # Single steps, adversarial ones above all, swing the counts up and down; their running mean does not.
        average = AveragedModel(networks, multi_avg_fn=get_ema_multi_avg_fn(config.average), use_buffers=True)
        modules["average"] = average
    deployed = networks if average is None else cast(Networks, average.module)
    parts: dict[str, nn.Module] = {"counter": deployed.counter}
    if deployed.S is not None:
        parts["S"] = deployed.S
    wrapped_discriminator: Any = None
    if discriminator is not None:
        discriminator_optimizer = torch.optim.Adam(
            discriminator.parameters(), config.discriminator_rate, betas=(0.9, 0.99)
        )
        wrapped_discriminator, optimizers["D"] = fabric.setup(discriminator, discriminator_optimizer)
        modules["D"] = parts["D"] = discriminator

    run = Run(
        folder,
        config={
            **asdict(config),
            "source_data": source.describe(),
            "target_data": target.describe() if config.needs_target and target is not None else None,
            "pseudo_masks": None if config.weights.seg_target == 0 else folder_digest(Path(str(pseudo_masks))),
            "init": None if init is None else file_digest(init),
        },
        card={"kind": "adaptation", "architecture": {"counter": networks.counter.architecture}},
        modules=modules,
        deployed=parts,
        optimizers=optimizers,
        fabric=fabric,
    )
    start = run.begin(resume)

    def batches(domain: Literal["source", "target"]) -> Iterator[Batch]:
        is_source = domain == "source"
        dataset: Sequence[Sample]
        if is_source:
            dataset = trained_on
        else:
            assert unlabelled is not None
            dataset = unlabelled
        made = Batches(
            dataset,
            config.batch_size,
            config.source if is_source else config.target,
            seed=config.seed,
            stream=STREAMS[domain],
            kernel=config.kernel if is_source else None,
            mask=(config.weights.seg_source if is_source else config.weights.seg_target) > 0,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
        )
        on_gpu = fabric.device.type == "cuda"
        workers = default_workers(on_gpu) if hardware.workers is None else hardware.workers
        loaded = made.from_step(start, steps, workers=workers, pin_memory=on_gpu)
        return ({key: fabric.to_device(value) for key, value in batch.items()} for batch in loaded)

    source_batches = batches("source")
    target_batches = batches("target") if config.needs_target else None

    def step_function(step: int) -> dict[str, Tensor]:
        source_batch = next(source_batches)
        target_batch = None if target_batches is None else next(target_batches)
        xs, n = source_batch["image"], len(source_batch["image"])

        density, mask_logits, f = wrapped(xs, None if target_batch is None else target_batch["image"])
        terms = {"density": losses.density_loss(density, source_batch["density"] * config.label_factor)}
        if mask_logits is not None and config.weights.seg_source > 0:
            terms["seg_source"] = losses.source_segmentation_loss(mask_logits[:n], source_batch["mask"])
        if mask_logits is not None and config.weights.seg_target > 0 and target_batch is not None:
            terms["seg_target"] = losses.target_segmentation_loss(mask_logits[n:], target_batch["mask"])
        if discriminator is not None:
            # E is to change here, not D: the plain module with frozen weights lets the gradient through to f.
            discriminator.requires_grad_(False)
            with fabric.autocast():
                terms["adversarial"] = losses.adversarial_loss(discriminator(f[n:]).float())
            discriminator.requires_grad_(True)
        require_finite(terms, step, folder)
        total = losses.total_loss(terms["density"], config.weights, **{k: terms[k] for k in terms if k != "density"})
        optimizer.zero_grad()
        fabric.backward(total)
        optimizer.step()
        if average is not None:
            average.update_parameters(networks)

        if wrapped_discriminator is not None:
            f = f.detach()
            domain_logits = wrapped_discriminator(f)  # one pass over both domains
            domain_loss = losses.discriminator_loss(domain_logits[:n], domain_logits[n:])
            require_finite({"discriminator": domain_loss}, step, folder)
            optimizers["D"].zero_grad()
            fabric.backward(domain_loss)
            optimizers["D"].step()
            with torch.no_grad():
                right = (domain_logits[:n] > 0).float().mean() + (domain_logits[n:] < 0).float().mean()
            terms |= {"discriminator": domain_loss, "D_accuracy": right / 2}
        return terms

    return run.train(
        step_function,
        start=start,
        steps=steps,
        description=description,
        learning_rate=_schedule(config, steps, len(trained_on)),
        validate=None if held_out is None else lambda: _count_error(deployed.counter, held_out, fabric),
        validate_every=config.validate_every,
    )


def split_source(source: CrowdDataset, config: AdaptationConfig) -> tuple[CrowdDataset, CrowdDataset | None]:
    """(trained on, held out): a random part of the source, by the seed, that only chooses the model."""
    kept_back = round(config.holdout * len(source))
    if kept_back == 0:
        return source, None
    if kept_back >= len(source):
        raise InputError(f"holdout {config.holdout} leaves nothing of {len(source)} source images to train on")
    order = np.random.default_rng([config.seed, 2]).permutation(len(source)).tolist()
    return source.subset(sorted(order[kept_back:])), source.subset(sorted(order[:kept_back]))


def _count_error(counter: CrowdCounter, dataset: CrowdDataset, fabric: Fabric) -> float:
    """MAE of the counts on whole images, in people."""
    training = counter.training
    counter.eval()
    errors = []
    with torch.inference_mode(), fabric.autocast():
        for sample in dataset:
            image = torch.from_numpy(sample.image).permute(2, 0, 1)[None].float().div(255)
            errors.append(abs(float(counter(fabric.to_device(image)).sum()) - sample.count))
    counter.train(training)
    return float(np.mean(errors))


def _schedule(config: AdaptationConfig, steps: int, images: int) -> Callable[[int], dict[str, float]]:
    def rates(step: int) -> dict[str, float]:
        if config.schedule == "polynomial":
            factor = polynomial(1.0, step, steps)
        else:
            factor = 0.995 ** (step * config.batch_size // images)
        both = {"networks": config.learning_rate * factor, "D": config.discriminator_rate * factor}
        return both if config.weights.adversarial > 0 else {"networks": both["networks"]}

    return rates
