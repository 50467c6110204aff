"""The four sub-networks of Fig. 1: E extracts features f, C draws density ŷ, S the crowd mask ẑ, D tells domains.

And SFCN, the other counter of Table 1, and CycleGAN's networks, which its rivals translate with (`models.cyclegan`).
"""

from sdcda_tutorial.models.crowd_counter import CrowdCounter
from sdcda_tutorial.models.density_estimator import DensityEstimator
from sdcda_tutorial.models.feature_discriminator import FeatureDiscriminator
from sdcda_tutorial.models.feature_extractor import FeatureExtractor
from sdcda_tutorial.models.semantic_extractor import SemanticExtractor
from sdcda_tutorial.models.sfcn import SFCN, make_counter

__all__ = [
    "SFCN",
    "CrowdCounter",
    "DensityEstimator",
    "FeatureDiscriminator",
    "FeatureExtractor",
    "SemanticExtractor",
    "make_counter",
]
