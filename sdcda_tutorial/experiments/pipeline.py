"""From data to a trained counter: mask model, pseudo-masks, warm start, adaptation, in one folder.

What several methods share is made once, when the first of them needs it, and found again by the next; while another
process makes it, this one waits:

    FOLDER/segmenter/     the mask model              FOLDER/noadapt/   a run per method,
    FOLDER/masks/         the target's pseudo-masks   FOLDER/se+fd/     see `training.saving`
    FOLDER/warm_start/    source-only training that every method begins with

The rivals of Table 1 translate the source first, and no adaptation is trained on what comes out:

    FOLDER/cyclegan-translation/   the generators     FOLDER/cyclegan/        the counter,
    FOLDER/cyclegan-source/        the source anew    FOLDER/cyclegan-warm_start/ and what it begins with

With another counter than the paper's the folders of warm start and method begin with its name: FOLDER/sfcn-se+fd/.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.experiments.presets import Preset
from sdcda_tutorial.files import read_object, require_writable
from sdcda_tutorial.guards.locks import PATIENCE, one_writer
from sdcda_tutorial.guards.provenance import IMAGES, is_from
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.rivals.translated_source import read_translated, refuse_other_layouts, translate
from sdcda_tutorial.rivals.translation import TRANSLATIONS, refuse_several_devices, train_translation
from sdcda_tutorial.training.checkpoints import weights_digest
from sdcda_tutorial.training.config import AdaptationConfig
from sdcda_tutorial.training.counter_training import adapt
from sdcda_tutorial.training.hardware import Hardware
from sdcda_tutorial.training.mask_model import (
    PROVENANCE,
    images_of,
    refuse_long_mask_names,
    refuse_unfit_masks,
    train_segmenter,
    write_pseudo_masks,
)
from sdcda_tutorial.training.rehearsal import Rehearsal
from sdcda_tutorial.training.saving import Records, refuse_lone_model


@dataclass
class Experiment:
    """One seed of one experiment.

    Args:
        folder: where everything goes; parts that are there already are used, unfinished ones are gone on with.
        source: labelled images to train on.
        target: images to adapt to; labels are not read. None is enough for "noadapt".
        boxes: data set to train the mask model on, where there are no `masks` yet.
        masks: folder of ready pseudo-masks of the target, instead of our own.
        segmenter: checkpoint of a ready mask model, instead of our own.
        seed: of the mask model and of every training.
        records: what the runs leave besides their own files.
        rehearsal: measures two steps of each training instead; see `training.rehearsal`.
        report: as that of `loop.Training`, with the training's name before; a translation has a bar of its own.
    """

    folder: Path
    preset: Preset
    source: CrowdDataset
    target: CrowdDataset | None = None
    boxes: CrowdDataset | None = None
    masks: Path | None = None
    segmenter: Path | None = None
    vgg_weights: Path | None = None
    seed: int = 0
    hardware: Hardware = field(default_factory=Hardware)
    records: Records = field(default_factory=Records)
    rehearsal: Rehearsal | None = None
    report: Callable[[str, int, int], None] | None = None

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)

    _translated: dict[str, CrowdDataset] = field(default_factory=dict, init=False, repr=False)

    def train(self, method: str, config: AdaptationConfig | None = None, *, resume: bool = False) -> Path:
        """Train one method and give the path of its model.

        Args:
            method: names the run's folder, and the configuration where none is given: see `Preset.method`.
            config: another configuration, for ablations; its seed is the experiment's.
            resume: go on with a run of this method that was interrupted.
        """
        config = config or self.preset.method(method)
        self.check(method, config, resume=resume)
        translation = method if method in TRANSLATIONS else None
        with self._alone(self.preset.run_name(method), wait=PATIENCE):  # before the long parts that it rests on
            return self._adapt(
                method, translation, self.target if config.needs_target else None, config,
                pseudo_masks=self.pseudo_masks() if config.weights.needs_pseudo_masks else None,
                init=self.warm_start(translation), resume=resume, description=method,
            )  # fmt: skip

    def _alone(self, part: str, *, wait: float = math.inf) -> AbstractContextManager[Any]:
        """Hold the folder of a part, for all processes of this training; a rehearsal writes nothing."""
        if self.rehearsal is not None:
            return nullcontext()
        return one_writer(self.folder / part, wait=wait, fabric=self.hardware.launch())

    def check(self, method: str, config: AdaptationConfig, *, resume: bool = False) -> None:
        """Raise an InputError for what can be known before processes are started and the long parts begin."""
        folder = self.folder / self.preset.run_name(method)
        if config.seed not in (self.seed, self.preset.adaptation.seed):
            raise InputError(
                f"the configuration has seed {config.seed}, but the experiment has {self.seed}; give both the same"
            )
        if (folder / "config.json").exists() and not resume:
            with one_writer(folder):  # a run that is still going on is said first: it cannot be resumed
                raise InputError(f"{folder} already holds a run; pass `resume` to go on, or choose another `folder`")
        self._require_places(self.preset.run_name(method), self.preset.run_name("warm_start"))
        self._refuse_batch(config)
        if (warm := self._warm_config(method in TRANSLATIONS)) is not None:
            self._refuse_batch(warm, "warm start: ")
            if (folder / "config.json").exists() and read_object(folder / "config.json").get("init", "") is None:
                raise InputError(f"{folder} was started without a warm start; go on without one: `warm_steps` 0")
        if config.weights.needs_pseudo_masks and self.masks is None:
            self.check_mask_model()
        elif config.weights.needs_pseudo_masks and self.masks is not None and self.target is not None:
            refuse_unfit_masks(self.masks, self.target)
        if method in TRANSLATIONS:
            refuse_several_devices(self.hardware)
            refuse_other_layouts(self.source)
            if self.target is None:
                raise InputError("a translation leads from source to target; name one as `target`")
            self._require_places(*(f"{method}-{part}" for part in ("translation", "source", "warm_start")))

    def _refuse_batch(self, config: AdaptationConfig, whose: str = "") -> None:
        """Raise an InputError for a batch that cannot be shared out: S needs two images in a pass, see `adapt`."""
        self.hardware.refuse_uneven(config.batch_size, whose)
        at_least = 2 if config.weights.needs_S and not config.needs_target else 1
        self.hardware.refuse_small_parts(config.batch_size, self.hardware.processes, at_least, whose)

    def check_mask_model(self) -> None:
        """As `check`, for the mask model."""
        if self.segmenter is None and self.boxes is None:
            raise InputError(
                "this method needs pseudo-masks of the target; name a data set with boxes to train the mask model on "
                "(`boxes`, such as crowdhuman:ROOT; mini is drawn and needs no download)"
            )
        if self.segmenter is None:
            self.hardware.refuse_uneven(self.preset.segmenter.batch_size, "mask model: ")
        self._require_places("segmenter", "masks")
        if self.target is not None:
            refuse_long_mask_names(self.folder / "masks", self.target.names)
        self._refuse_other_masks()

    def _refuse_other_masks(self) -> None:
        """Raise an InputError, before a mask model is trained, for masks that could not be gone on with."""
        settings = self.preset.segmenter
        origin: dict[str, Any] = {"threshold": settings.threshold, "dilate": settings.dilate}
        masks, ours = self.folder / "masks", self.folder / "segmenter/last.safetensors"
        if self.segmenter is not None:
            origin |= {"weights_sha256": weights_digest(self.segmenter)}
        elif (masks / PROVENANCE).exists() and not ours.exists():
            raise InputError(
                f"{masks} holds masks of a mask model that is not here; to learn from these, name the "
                "folder as `masks`, else remove it"
            )
        if self.target is not None:
            origin |= {"target": self.target.describe(labelled=False), IMAGES: images_of(self.target)}
        try:
            is_from(masks, origin, PROVENANCE, what="masks", foreign="*.png")
        except InputError as error:
            raise InputError(f"{error}; to learn from these, name the folder as `masks`") from None

    def _require_places(self, *parts: str) -> None:
        """Raise an InputError where a part could not be written, or would replace a model, hours from now."""
        for folder in (self.folder / part for part in parts):
            refuse_lone_model(folder)
            if not any(folder.glob("*")):
                require_writable(folder)

    def warm_start(self, translation: str | None = None) -> Path | None:
        """Source-only training before the adaptation: the "early" baseline, and where every method begins.

        Args:
            translation: the one that the source is to be seen through.
        """
        if (config := self._warm_config(translation is not None)) is None:
            return None
        name = "warm_start" if translation is None else f"{translation}-warm_start"
        with self._alone(self.preset.run_name(name)):
            model = self._adapt(name, translation, None, config, resume=True, description="warm start")
        return model if self.rehearsal is None or model.exists() else None

    def _warm_config(self, translated: bool) -> AdaptationConfig | None:
        """That of the preset; on a translated source without any λ, as in `Preset.method`."""
        config = self.preset.warm_start
        return replace(config, weights=LossWeights()) if config is not None and translated else config

    def _adapt(
        self, run: str, translation: str | None, target: CrowdDataset | None, config: AdaptationConfig, *,
        description: str, **options: Any,
    ) -> Path:  # fmt: skip
        """Train a counter on the source, or on what a translation makes of it."""
        source = self.source if translation is None else self.translated_source(translation)
        config, folder = replace(config, seed=self.seed), self.folder / self.preset.run_name(run)
        return adapt(
            source, target, config, folder, vgg_weights=self.vgg_weights, description=description,
            report=self._report_of(description), **self._shared, **options,
        )  # fmt: skip

    def _report_of(self, training: str) -> Callable[[int, int], None] | None:
        return None if self.report is None else partial(self.report, training)

    @property
    def _shared(self) -> dict[str, Any]:
        return {"hardware": self.hardware, "records": self.records, "rehearsal": self.rehearsal}

    def translated_source(self, translation: str) -> CrowdDataset:
        """The source in the style of the target; in a dry run that finds none, as it is."""
        assert self.target is not None, "see `check`"
        if translation not in self._translated:
            config = replace(self.preset.translation.method(translation), seed=self.seed)
            folder = self.folder / f"{translation}-translation"
            with self._alone(folder.name):
                model = train_translation(self.source, self.target, config, folder, resume=True, **self._shared)
            folder = self.folder / f"{translation}-source"
            if self.rehearsal is not None and not self.rehearsal.finds_translated(self.source, folder):
                return self._translated.setdefault(translation, self.source)
            translate(model, self.source, folder, hardware=self.hardware)
            # In the order of the source, so that the same images are held out.
            self._translated[translation] = read_translated(folder, self.source).cache_if_small()
        return self._translated[translation]

    def pseudo_masks(self) -> Path | None:
        """The folder of the target's pseudo-masks, after training our mask model; None in a dry run that finds none."""
        if self.masks is not None:
            return self.masks
        if self.target is None:
            raise InputError("pseudo-masks are of a target, but no target was given; name one as `target`")
        self.check_mask_model()
        settings, folder, model = replace(self.preset.segmenter, seed=self.seed), self.folder / "masks", self.segmenter
        if model is None:
            assert self.boxes is not None, "see `check_mask_model`"
            own = self.folder / "segmenter"
            with self._alone(own.name):
                model = train_segmenter(
                    self.boxes, settings, own, vgg_weights=self.vgg_weights, resume=True,
                    report=self._report_of("mask model"), **self._shared,
                )  # fmt: skip
        if self.rehearsal is not None and not self.rehearsal.finds_masks(model, self.target, folder):
            return None
        return write_pseudo_masks(
            model, self.target, folder, threshold=settings.threshold, dilate=settings.dilate, hardware=self.hardware
        )  # fmt: skip
