"""One training of the laboratory: what it can change, what came out, and the file that keeps it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.files import json_digest, read_object, write_json
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.numbers import check_numbers
from sdcda_tutorial.training.config import D_SEES, AdaptationConfig

MASKS = ("predicted", "perfect", "shuffled", "none")
FIGURES = {"mae": "MAE", "background": "background error", "crowd": "crowd error"}
DIGEST = "figures_sha256"  # by which an edited row is known
SAVE_EVERY = 20  # steps, so that an interrupted run loses little
AVERAGE = 0.95  # the running mean spans about 20 steps; the preset's 50 would be most of so short a run


@dataclass(frozen=True)
class Settings:
    """What a run can change. The defaults are SE+FD as in the mini preset, with fewer steps.

    Attributes:
        lambda_s, lambda_t, lambda_d: the weights of Eq. 5; zero switches a part off.
        masks: pseudo-masks of the target: "predicted" by the mask model; "perfect" around the true heads, which reads
            labels that no method may read; "shuffled", those of other images; "none", which calls everything
            background.
        D_sees: what the discriminator looks at: "features" as in the paper, the "mask" or the "density".
        learning_rate: of E, C and S.
        seed: of the batches and of everything random in a step.
        own: the reader's functions by what they replace, as digests of their source.
    Raises:
        InputError: a setting is out of range.
    """

    lambda_s: float = MINI.adaptation.weights.seg_source
    lambda_t: float = MINI.adaptation.weights.seg_target
    lambda_d: float = MINI.adaptation.weights.adversarial
    masks: str = "predicted"
    D_sees: str = "features"
    learning_rate: float = MINI.adaptation.learning_rate
    seed: int = 0
    steps: int = 80
    own: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_numbers(self, above_zero=("learning_rate", "steps"))
        for name in ("lambda_s", "lambda_t", "lambda_d", "learning_rate"):
            object.__setattr__(self, name, float(getattr(self, name)) + 0.0)  # -0 is 0
        for name, most in (("learning_rate", 1), ("seed", 10**6), ("steps", 1000)):
            if getattr(self, name) > most:
                raise InputError(f"{name} is at most {most}, not {getattr(self, name):g}")
        for name, known in (("masks", MASKS), ("D_sees", D_SEES)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}")
        self.config()

    def config(self) -> AdaptationConfig:
        """The settings of the training: the mini preset with these changes, and the last step's running mean."""
        return replace(
            MINI.adaptation,
            weights=LossWeights(self.lambda_s, self.lambda_t, self.lambda_d),
            discriminator_sees=self.D_sees, learning_rate=self.learning_rate, seed=self.seed, steps=self.steps,
            average=AVERAGE, holdout=0.0, validate_every=SAVE_EVERY,
        )  # fmt: skip

    @property
    def key(self) -> str:
        """Name of the run's files: a digest of the settings."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        """What differs from the defaults: "λt = 0, masks = shuffled"."""
        symbols = {"lambda_s": "λs", "lambda_t": "λt", "lambda_d": "λd", "learning_rate": "learning rate"}
        changed = []
        for name, value in asdict(self).items():
            if name == "own":
                version = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:4]
                changed += [f"own functions ({len(value)}, version {version})"] if value else []
            elif value != getattr(DEFAULTS, name):
                changed.append(f"{symbols.get(name, name)} = {value if isinstance(value, str) else f'{value:g}'}")
        return ", ".join(changed) or "SE+FD, nothing changed"

    def without_effect(self) -> list[str]:
        """A line for each setting that these others leave without effect."""
        lines = []
        if self.masks != DEFAULTS.masks and self.lambda_t == 0:
            lines.append("The masks have no effect here: only the loss with λt reads them.")
        if self.D_sees != DEFAULTS.D_sees and self.lambda_d == 0:
            lines.append("What D sees has no effect here: with λd = 0 there is no D.")
        return lines


DEFAULTS = Settings()


@dataclass(frozen=True)
class Run:
    """One training of the laboratory, measured on test images of the target.

    Attributes:
        mae, background, crowd: errors in people per image, as in `evaluation.Results`.
        seconds: that the training took.
        about: date, versions, data, and `start`: digests of the weights it was made with.
    """

    settings: Settings
    mae: float
    background: float
    crowd: float
    seconds: float
    about: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"{self.settings}: MAE {self.mae:.1f}, background error {self.background:.1f}, "
            f"crowd error {self.crowd:+.1f} people per image"
        )

    @property
    def figures(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in FIGURES}

    @property
    def row(self) -> list[str]:
        return row(str(self.settings), self.figures)

    def to_json(self, path: Path) -> None:
        of = {"settings": asdict(self.settings), "figures": self.figures, "seconds": self.seconds}
        write_json(path, {**of, DIGEST: json_digest(self.figures), **self.about})

    @classmethod
    def from_json(cls, path: Path) -> Run:
        """Read what `to_json` wrote, in earlier versions without a digest; an InputError for anything else."""
        stored, fields = read_object(path), ("settings", "figures", "seconds", DIGEST)
        try:
            settings = Settings(**stored["settings"])
            figures = {name: float(stored["figures"][name]) for name in FIGURES}
            about = {key: value for key, value in stored.items() if key not in fields}
            run = cls(settings, **figures, seconds=float(stored["seconds"]), about=about)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"it is no run of the laboratory: {type(error).__name__} {error}") from None
        if not all(math.isfinite(value) for value in figures.values()) or settings.key != path.stem:
            raise InputError("its figures or its name do not belong to its settings")
        if stored.get(DIGEST, ours := json_digest(stored["figures"])) != ours:
            raise InputError("its figures are not those that were measured")
        return run


def row(title: str, of: Mapping[str, float]) -> list[str]:
    """Cells of the table, in Markdown: the title in bold, then `FIGURES`."""
    return [f"**{title}**", f"{of['mae']:.1f}", f"{of['background']:.1f}", f"{of['crowd']:+.1f}"]
