"""Training: the adaptation of the paper, and the mask model that it needs."""

from sdcda_tutorial.training.adaptation import adapt
from sdcda_tutorial.training.config import AdaptationConfig, SegmenterConfig
from sdcda_tutorial.training.hardware import Hardware
from sdcda_tutorial.training.log import Records
from sdcda_tutorial.training.presets import METHODS, MINI, PAPER, PHOTOS, PRESETS, Preset
from sdcda_tutorial.training.segmentation import train_segmenter, write_pseudo_masks

__all__ = [
    "METHODS",
    "MINI",
    "PAPER",
    "PHOTOS",
    "PRESETS",
    "AdaptationConfig",
    "Hardware",
    "Preset",
    "Records",
    "SegmenterConfig",
    "adapt",
    "train_segmenter",
    "write_pseudo_masks",
]
