"""The training of a crowd counter: the step of the paper (`adaptation.Adaptation`), its data, its devices, its run.

adapt(source, target, config, folder, pseudo_masks=...)  # -> folder/model.safetensors
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sdcda_tutorial import losses
from sdcda_tutorial.adaptation import Adaptation, Batch, Networks
from sdcda_tutorial.datasets.batches import SOURCE, TARGET, Batches, PseudoMasked, micro_batches
from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset
from sdcda_tutorial.datasets.sample import Sample, refuse_unlabelled
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import folder_digest
from sdcda_tutorial.folding import folded
from sdcda_tutorial.guards.provenance import CONTENTS
from sdcda_tutorial.networks import CrowdCounter, FeatureDiscriminator, SemanticExtractor, make_counter
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.config import AdaptationConfig
from sdcda_tutorial.training.hardware import Hardware, own_state
from sdcda_tutorial.training.imagenet_weights import imagenet_origin, load_imagenet_weights
from sdcda_tutorial.training.loop import Training, require_finite
from sdcda_tutorial.training.mask_model import origin_of_masks, refuse_unfit_masks
from sdcda_tutorial.training.processes import average_buffers, shared_out
from sdcda_tutorial.training.rehearsal import Rehearsal
from sdcda_tutorial.training.saving import Records, RunFolder

if TYPE_CHECKING:
    from lightning_fabric import Fabric  # slow to import


def networks_of(config: AdaptationConfig) -> tuple[Networks, FeatureDiscriminator | None]:
    """E, C, S and D with random weights; S and D only where a λ asks for them."""
    λ = config.weights
    network = dict(stride=config.stride, width=config.width, label_factor=config.label_factor)
    counter = make_counter(config.counter, **network)
    S = SemanticExtractor(counter.E.channels, config.stride) if λ.needs_S else None
    sees = config.discriminator_sees if λ.needs_D else "features"
    channels = counter.E.channels if sees == "features" else 1
    D = FeatureDiscriminator(channels, config.discriminator_width) if λ.needs_D else None
    return Networks(counter, S, sees), D


class AdaptationOnDevice(Adaptation):
    """The step on a device: in micro-batches, by several processes, with a running mean of the weights.

    It starts with random weights: load others into `plain` if you like, call `begin`, then `step`.

    Attributes:
        plain, plain_D: networks and discriminator as they are; `networks` and `D` are Fabric's wrappers of them.
        deployed: the networks that become the model: `plain`, or their running mean where the config asks for one.
    """

    def __init__(self, config: AdaptationConfig, fabric: Fabric) -> None:
        torch.manual_seed(config.seed)
        self.plain, self.plain_D = networks_of(config)
        # The other reading of Eq. 9 is a control.
        reading = losses.target_entropy_loss if config.target_loss == "entropy" else losses.target_segmentation_loss
        super().__init__(self.plain, self.plain_D, {}, config.weights, config.label_factor, reading)
        self.config, self.fabric = config, fabric

    def begin(self, hardware: Hardware | None = None) -> None:
        """Move everything to its device and make the optimisers and the running mean."""
        config, hardware = self.config, hardware or Hardware()
        self._parts, self._part, self._share = hardware.accumulate, 1, 1.0
        hardware.prepare(self.plain)
        adam = torch.optim.Adam(self.plain.parameters(), config.learning_rate, weight_decay=config.weight_decay)
        self.networks, optimizer = self.fabric.setup(self.plain, adam)
        self.optimizers = {"networks": optimizer}
        self.average: AveragedModel | None = None
        self.deployed = self.plain
        if config.average > 0:
            # Single steps, adversarial ones above all, swing the counts up and down; their running mean does not.
            mean = get_ema_multi_avg_fn(config.average)
            self.average = AveragedModel(self.plain, multi_avg_fn=mean, use_buffers=True)
            self.deployed = self.average.module  # type: ignore[assignment]
        if self.plain_D is not None:
            adam = torch.optim.Adam(self.plain_D.parameters(), config.discriminator_rate, betas=(0.9, 0.99))
            self.D, self.optimizers["D"] = self.fabric.setup(self.plain_D, adam)

    def step(self, source: Batch, target: Batch | None) -> dict[str, Tensor]:
        """The step on this process's share of a batch; where memory is short, in parts whose gradients add up.

        A NaN or infinite loss is a FloatingPointError; the weights it would have moved are untouched. In parts, both
        domains have equal numbers of images, else a ValueError.
        """
        if self._parts > 1 and target is not None and len(source["image"]) != len(target["image"]):
            numbers = f"{len(source['image'])} and {len(target['image'])}"
            raise ValueError(f"a batch in parts has as many target images as source images, not {numbers}")
        terms: dict[str, Tensor] = {}
        parts = zip(micro_batches(source, self._parts), micro_batches(target, self._parts), strict=True)
        for self._part, (part_s, part_t) in enumerate(parts, start=1):
            self._share = len(part_s["image"]) / len(source["image"])
            # Several processes average their gradients once a step, with the last micro-batch.
            alone, sync = self._part < self._parts, self.fabric.no_backward_sync
            with sync(self.networks, alone), nullcontext() if self.D is None else sync(self.D, alone):  # type: ignore[arg-type]
                found = super().step(part_s, part_t)
            terms = {name: terms.get(name, 0) + value * self._share for name, value in found.items()}
        average_buffers(self.plain, self.fabric)
        if self.average is not None:
            self.average.update_parameters(self.plain)
        return terms

    def minimise(self, name: str, loss: Tensor, terms: Mapping[str, Tensor]) -> None:
        """The gradients of a micro-batch add up; the last one moves the weights."""
        require_finite(terms)
        if self._part == 1:
            self.optimizers[name].zero_grad()
        self.fabric.backward(loss * self._share)
        if self._part == self._parts:
            with self._one_scale() if name == "networks" and self._parts > 1 else nullcontext():
                self.optimizers[name].step()

    @contextmanager
    def _one_scale(self) -> Iterator[None]:
        """In float16 a step of E, C and S may change the loss's scale: D's gradients so far get the new one too."""
        scale = self.fabric.strategy.precision.state_dict().get("scale", 1.0)
        yield
        change = self.fabric.strategy.precision.state_dict().get("scale", 1.0) / scale
        for parameter in () if self.plain_D is None or change == 1.0 else self.plain_D.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(change)

    @contextmanager
    def fixed(self, network: nn.Module) -> Iterator[None]:
        with self.fabric.no_backward_sync(network), super().fixed(network):  # type: ignore[arg-type]
            yield

    def modules(self) -> dict[str, nn.Module]:
        """All that training changes, by name."""
        known = {"networks": self.plain, "average": self.average, "D": self.plain_D}
        return {name: module for name, module in known.items() if module is not None}

    def parts(self) -> dict[str, nn.Module]:
        """Parts of the model that is saved, by symbol."""
        known = {"counter": self.deployed.counter, "S": self.deployed.S, "D": self.plain_D}
        return {name: module for name, module in known.items() if module is not None}


@own_state()
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
    records: Records | None = None,
    resume: bool = False,
    description: str = "adapt",
    report: Callable[[int, int], None] | None = None,
    rehearsal: Rehearsal | None = None,
) -> Path:
    """Train a crowd counter on the labelled `source` and the unlabelled `target`; the path of the chosen model.

    Args:
        source: labelled images; a part (`config.holdout`) is kept back to choose the model.
        target: images of the target domain; their labels are never read. None where no λ needs them.
        folder: a new folder for the run (`training.saving` lists its files); with `resume` an old one.
        pseudo_masks: folder of the target's masks, needed where λt > 0.
        init: checkpoint whose E and C to begin with, and whose S where both trainings have one.
        vgg_weights: file with torchvision's VGG16-BN weights, for `config.pretrained` without a network.
        description, report: see `loop.Training`; a `rehearsal` takes a few steps, measures and writes nothing.
    Raises:
        InputError: data, masks, checkpoint or folder do not fit.
        TrainingStopped: a loss became NaN or infinite.
    """
    hardware, folder, (trained_on, held_out) = hardware or Hardware(), Path(folder), split_source(source, config)
    fabric = hardware.launch()
    steps = config.total_steps(len(trained_on))
    # Before anything is written: a missing mask must not leave a folder that counts as a run.
    domains = _domains(trained_on, target, pseudo_masks, config, fabric, rehearsal is not None)
    at_least = 2 if config.weights.needs_S and domains[1] is None else 1
    hardware.refuse_small_parts(config.batch_size, fabric.world_size, at_least)

    adaptation = AdaptationOnDevice(config, fabric)
    if init is not None:
        card = _load_other_model(adaptation.plain, init)
        _tell_of_images_learnt_before(init, card, source, config, fabric)
    elif config.pretrained and not (resume and (folder / "last.safetensors").exists()):
        with fabric.rank_zero_first(local=True):  # one download a machine
            load_imagenet_weights(adaptation.plain.counter.E, vgg_weights)
    adaptation.begin(hardware)
    data = partial(_data, source, target, pseudo_masks, config)
    about = _about(config, adaptation.plain, data(), pseudo_masks, init, vgg_weights, hardware.accumulate)

    training = Training(
        RunFolder(
            folder, fabric=fabric, records=records or Records(), rests_on=_run_beside(folder, init),
            modules=adaptation.modules(), deployed=adaptation.parts(), optimizers=adaptation.optimizers, **about,
        ),
        step=adaptation.step, domains=domains, steps=steps, images=len(trained_on), description=description,
        report=report, workers=hardware.workers, rates=lambda step: config.rates(step, steps, len(trained_on)),
        validate=None if held_out is None else lambda images: _count_error(adaptation.deployed.counter, images, fabric),
        held_out=held_out, validate_every=config.validate_every, data=data,
    )  # fmt: skip
    return training.finish(resume) if rehearsal is None else rehearsal.measure(training, resume)


def _run_beside(folder: Path, init: str | Path | None) -> Path | None:
    """The folder of the run that `init` is the model of, if it lies beside this one's, as in `experiments.pipeline`."""
    other = None if init is None else Path(init).parent
    return other if other is not None and other.resolve().parent == folder.resolve().parent else None


def _load_other_model(networks: Networks, path: str | Path) -> dict[str, Any]:
    """E and C of a checkpoint, and S where it has one: a new S would begin by pulling E towards noise. Its card."""
    tensors, card = checkpoints.load_model(path)
    checkpoints.refuse_other_architecture(card, networks.counter.architecture, path)
    checkpoints.load_weights(networks.counter, tensors, "counter", path)
    if networks.S is not None and any(name.startswith("S.") for name in tensors):
        checkpoints.load_weights(networks.S, tensors, "S", path)
    return card


def _tell_of_images_learnt_before(
    init: str | Path, card: Mapping[str, Any], source: CrowdDataset, config: AdaptationConfig, fabric: Fabric
) -> None:
    """A note where a model begins in weights that may have learnt from the images that are to choose it."""
    if config.holdout == 0 or not fabric.is_global_zero:
        return
    before = card.get("config", {})
    then, now = ((one.get("seed"), one.get("holdout")) for one in (before, asdict(config)))
    same = (before.get("source_data") or {}).get(CONTENTS) == source.describe()[CONTENTS]
    if same and then != now:
        what = f"seed {then[0]} and holdout {then[1]}, not {now[0]} and {now[1]}"
        print(
            f"note: {init} may have learnt from images that are held out here to choose the model; it had {what}",
            file=sys.stderr, flush=True,
        )  # fmt: skip


def _about(
    config: AdaptationConfig,
    networks: Networks,
    data: Mapping[str, Any],
    pseudo_masks: str | Path | None,
    init: str | Path | None,
    vgg_weights: str | Path | None,
    accumulate: int,
) -> dict[str, Any]:
    """What decides the result, of which a resumed run must ask for the same; and what the checkpoints say."""
    asked = {**asdict(config), **data, "init": None if init is None else checkpoints.weights_digest(init)}
    asked |= imagenet_origin(config.pretrained and init is None, vgg_weights)
    masks = None if data["pseudo_masks"] is None or pseudo_masks is None else origin_of_masks(pseudo_masks)
    card: dict[str, Any] = {
        "kind": "adaptation",
        "architecture": {"counter": networks.counter.architecture},
        "masks": masks,
    }
    card |= {"micro_batches": accumulate} if accumulate > 1 else {}  # batch norm sees one at a time
    return {"config": asked, "card": card}


def _data(
    source: CrowdDataset, target: CrowdDataset | None, pseudo_masks: str | Path | None, config: AdaptationConfig
) -> dict[str, Any]:
    """What there is to learn from, by its contents; None for what no λ needs."""
    masks = pseudo_masks if config.weights.needs_pseudo_masks else None
    return {
        "source_data": source.describe(),
        "target_data": target.describe(labelled=False) if config.needs_target and target is not None else None,
        "pseudo_masks": None if masks is None else folder_digest(Path(masks)),
    }


def split_source(source: CrowdDataset, config: AdaptationConfig) -> tuple[CrowdDataset, CrowdDataset | None]:
    """(trained on, held out): a random part of the source, by the seed, only chooses the model."""
    if config.holdout == 0 or len(source) == 1:
        return source, None
    kept_back = max(1, round(config.holdout * len(source)))
    if kept_back >= len(source):
        raise InputError(f"holdout {config.holdout} leaves nothing of {len(source)} source images to train on")
    order = np.random.default_rng([config.seed, 2]).permutation(len(source)).tolist()
    return source.subset(sorted(order[kept_back:])), source.subset(sorted(order[:kept_back]))


def _domains(
    source: CrowdDataset,
    target: CrowdDataset | None,
    pseudo_masks: str | Path | None,
    config: AdaptationConfig,
    fabric: Fabric,
    rehearsed: bool,
) -> list[Batches | None]:
    """Batches of the labelled source and the unlabelled target, None where no λ needs it.

    In a rehearsal, missing pseudo-masks are all background; else missing masks or images are an InputError.
    """
    refuse_unlabelled(source)
    λ = config.weights
    shared: dict[str, Any] = {"seed": config.seed, "rank": fabric.global_rank, "world_size": fabric.world_size}
    labelled = Batches(
        source, config.batch_size, config.source,
        stream=SOURCE, kernel=config.kernel, mask=λ.needs_source_masks, **shared,
    )  # fmt: skip
    if not config.needs_target:
        return [labelled, None]
    if target is None:
        raise InputError("this method learns from target images, but no target was given; name one as `target`")
    if λ.needs_pseudo_masks and pseudo_masks is None and not rehearsed:
        raise InputError("λt > 0 needs pseudo-masks of the target; make them and give their folder as `pseudo_masks`")
    masked = λ.needs_pseudo_masks
    if masked and pseudo_masks is not None:
        refuse_unfit_masks(pseudo_masks, target)
    unlabelled = PseudoMasked(target, pseudo_masks if masked else None)
    return [labelled, Batches(unlabelled, config.batch_size, config.target, stream=TARGET, mask=masked, **shared)]


def _count_error(counter: CrowdCounter, dataset: CrowdDataset, fabric: Fabric) -> float:
    """MAE of the counts on whole images, in people; the same in all processes, which share the images."""

    counter = folded(counter)  # once: autocast keeps a copy of all weights that it meets

    def error(sample: Sample) -> float:
        return abs(float(predict_density(counter, sample.image).sum()) - sample.count)

    with fabric.autocast():
        return float(np.mean(shared_out(error, dataset, fabric)))
