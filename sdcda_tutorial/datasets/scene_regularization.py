"""Scene Regularization: which images of GCC resemble a target enough to learn from.

GCC has scenes of every kind: nights, storms, squares with three people on them. For a street of Shanghai by day, a part
of them is the better source. The idea is from the GCC paper (Wang et al., CVPR 2019); the numbers are those of later
code by this paper's authors (`taohan10200/NLT`; for ShanghaiTech A those that it has switched off for UCF-QNRF's).

    SceneDescription(level=5, hour=12, weather=0, count=300) passes "shb": a half-full place of 600 people, a clear noon
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sdcda_tutorial.errors import InputError

CAPACITY = (10, 25, 50, 100, 300, 600, 1000, 2000, 4000)  # people that GCC allows at level 0 ... 8


@dataclass(frozen=True)
class SceneDescription:
    """What the rules look at, of one image."""

    level: int  # GCC's level 0 ... 8, see `CAPACITY`; one for each camera
    hour: int  # 0 ... 23
    weather: int  # GCC's code; 0 clear, 1 clouds, 6 extra sunny
    count: int  # people in the image
    name: str = ""  # of the sample, as "scene_01_0/1534567890"


@dataclass(frozen=True)
class Rule:
    """Bounds on a scene, both ends included; `ratio` is the share of the level's capacity to be *exceeded*."""

    levels: tuple[int, int]
    hours: tuple[int, int]
    weather: tuple[int, ...]
    count: tuple[int, int]
    ratio: float

    def admits(self, record: SceneDescription) -> bool:
        """Whether an image of this description is taken."""
        return (
            self.levels[0] <= record.level <= self.levels[1]
            and self.hours[0] <= record.hour <= self.hours[1]
            and record.weather in self.weather
            and self.count[0] <= record.count <= self.count[1]
            and record.count / CAPACITY[record.level] > self.ratio
        )

    def __str__(self) -> str:
        return (
            f"level {self.levels[0]}-{self.levels[1]}, hour {self.hours[0]}-{self.hours[1]}, weather "
            f"{', '.join(map(str, self.weather))}, count {self.count[0]}-{self.count[1]}, over {self.ratio} of capacity"
        )


RULES = {  # by target
    "shb": Rule(levels=(1, 5), hours=(6, 20), weather=(0, 1, 5, 6), count=(10, 600), ratio=0.3),
    "sha": Rule(levels=(4, 8), hours=(6, 20), weather=(0, 1, 3, 5, 6), count=(33, 4000), ratio=0.5),
    "qnrf": Rule(levels=(4, 8), hours=(5, 21), weather=(0, 1, 5, 6), count=(400, 4000), ratio=0.6),
}


def find_rule(name: str) -> Rule:
    """The rule for a target, "shb", "sha" or "qnrf"; an InputError for any other name."""
    if name not in RULES:
        raise InputError(f"no Scene Regularization is known for {name!r}; choose one of {', '.join(RULES)}")
    return RULES[name]


def select_scenes(records: Iterable[SceneDescription], rule: str | Rule) -> list[SceneDescription]:
    """Those records that the rule admits, in their order.

    Args:
        records: one per image.
        rule: a name in `RULES`, or a rule of your own.
    Raises:
        InputError: no rule of that name, or a level that GCC does not have.
    """
    chosen = find_rule(rule) if isinstance(rule, str) else rule
    listed = list(records)
    for record in listed:
        if not 0 <= record.level < len(CAPACITY):
            raise InputError(f"{record} has a level that GCC does not know; levels are 0 to {len(CAPACITY) - 1}")
    return [record for record in listed if chosen.admits(record)]


def estimated_level(counts: Iterable[int]) -> int:
    """Level of a camera from the counts of its images: the smallest whose capacity holds the largest of them.

    For copies of GCC without the lists, the only files that hold the level. A camera has one level for all its images
    and fills up to near its capacity: for the twelve cameras of three locations (01, 60, 71) the estimate equals the
    level in the lists.
    """
    largest = max(counts, default=0)
    return next((level for level, capacity in enumerate(CAPACITY) if capacity >= largest), len(CAPACITY) - 1)
