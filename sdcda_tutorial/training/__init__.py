"""One training, of the counter (`adapt`) or the mask model (`train_segmenter`), on any device and resumable."""

from sdcda_tutorial.training.config import AdaptationConfig, SegmenterConfig
from sdcda_tutorial.training.counter_training import adapt
from sdcda_tutorial.training.hardware import Hardware
from sdcda_tutorial.training.mask_model import train_segmenter, write_pseudo_masks
from sdcda_tutorial.training.saving import Records

__all__ = [
    "AdaptationConfig",
    "Hardware",
    "Records",
    "SegmenterConfig",
    "adapt",
    "train_segmenter",
    "write_pseudo_masks",
]
