"""Training: the adaptation of the paper, the mask model that it needs, and the translation of its rivals."""

from sdcda_tutorial.training.adaptation import adapt
from sdcda_tutorial.training.config import AdaptationConfig, SegmenterConfig
from sdcda_tutorial.training.hardware import Hardware
from sdcda_tutorial.training.log import Records
from sdcda_tutorial.training.presets import COUNTERS, METHODS, MINI, PAPER, PHOTOS, PRESETS, Preset
from sdcda_tutorial.training.segmentation import train_segmenter, write_pseudo_masks
from sdcda_tutorial.training.translated_source import translate
from sdcda_tutorial.training.translation import train_translation
from sdcda_tutorial.training.translation_config import TRANSLATIONS, TranslationConfig

__all__ = [
    "COUNTERS",
    "METHODS",
    "MINI",
    "PAPER",
    "PHOTOS",
    "PRESETS",
    "TRANSLATIONS",
    "AdaptationConfig",
    "Hardware",
    "Preset",
    "Records",
    "SegmenterConfig",
    "TranslationConfig",
    "adapt",
    "train_segmenter",
    "train_translation",
    "translate",
    "write_pseudo_masks",
]
