"""The rivals of Table 1: SFCN, the other counter; CycleGAN and SE CycleGAN, which translate the source first.

Importing this makes SFCN known by its name ("sfcn") to trainings and to whoever opens a checkpoint.
"""

from sdcda_tutorial.rivals.sfcn import SFCN

__all__ = ["SFCN"]
