"""Colours (red, green, blue) in 0 ... 255, and what the painters do to them."""

from __future__ import annotations

from collections.abc import Sequence

Colour = tuple[int, int, int]


def scaled(colour: Colour, factor: float) -> Colour:
    """Lighter (factor above 1) or darker."""
    red, green, blue = (min(int(channel * factor), 255) for channel in colour)
    return red, green, blue


def shifted(colour: Colour, offset: Sequence[int]) -> Colour:
    """The colour plus an offset in each channel."""
    red, green, blue = (min(max(channel + change, 0), 255) for channel, change in zip(colour, offset, strict=True))
    return red, green, blue


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """From `first` (share 0) to `second` (share 1)."""
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(first, second, strict=True))
    return red, green, blue
