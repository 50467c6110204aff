"""The bar of the demo: what is left in minutes, from how fast the steps were."""

from __future__ import annotations

import re

import pytest

from sdcda_tutorial.experiments.progress import DEMO, ENOUGH, MEMORY, Progress, Work

WORK = {"first": Work(10), "second": Work(30, 5), "third": Work(20, 15)}  # 80 in all


class Clock:
    """Stands still until it is told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def steps(progress: Progress, clock: Clock, training: str, start: int, done: int, total: int, seconds: float) -> None:
    """Take steps of `seconds` each."""
    progress(training, start, total)
    for step in range(start, done):
        clock.now += seconds
        progress(training, step + 1, total)


def test_what_is_left_follows_the_pace_of_the_steps(clock: Clock) -> None:
    """A unit of work takes 20 seconds throughout."""
    progress = Progress(WORK, clock)
    steps(progress, clock, "first", 0, 50, 100, 2.0)  # 5 of 80
    assert progress.minutes_left(100) == pytest.approx(75 * 20 / 60)
    steps(progress, clock, "first", 50, 100, 100, 2.0)
    clock.now += 500  # what is no training counts as foreseen, however long it took
    steps(progress, clock, "second", 0, 3, 6, 100.0)  # 3 of 6 steps: 15 of 30
    assert progress.minutes_left(6) == pytest.approx((15 + 5 + 20 + 15) * 20 / 60)
    steps(progress, clock, "second", 3, 6, 6, 100.0)
    progress("first", 100, 100)  # another method looks for it and finds it done
    steps(progress, clock, "third", 0, 1, 1, 400.0)
    assert progress.minutes_left(1) == pytest.approx(15 * 20 / 60)


def test_a_machine_that_becomes_busy_is_noticed_within_minutes(clock: Clock) -> None:
    progress = Progress(WORK, clock)
    steps(progress, clock, "first", 0, 100, 100, 1.0)  # 10 seconds a unit
    steps(progress, clock, "second", 0, 6, 300, MEMORY / 12)  # 100 seconds a unit, half as long as is remembered
    left = 29.4 + 5 + 20 + 15
    before = progress.minutes_left(300)
    assert before is not None and left * 10 / 60 < before < left * 50 / 60
    steps(progress, clock, "second", 6, 42, 300, MEMORY / 12)
    assert progress.minutes_left(300) == pytest.approx((left - 3.6) * 100 / 60, rel=0.3)


def test_steps_of_an_earlier_call_say_nothing_of_the_pace(clock: Clock) -> None:
    progress = Progress(WORK, clock)
    progress("first", 100, 100)  # it was done
    steps(progress, clock, "second", 5, 6, 10, 60.0)  # 3 of what is left
    assert progress.minutes_left(10) == pytest.approx((12 + 5 + 20 + 15) * 60 / 3 / 60)


def test_nothing_is_said_before_it_is_known(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(WORK, clock)
    progress("first", 100, 100)
    assert capsys.readouterr().err == ""  # of a training that was done
    steps(progress, clock, "second", 0, 1, 100, 0.9 * ENOUGH)
    assert progress.minutes_left(100) is None
    steps(progress, clock, "second", 1, 2, 100, ENOUGH)
    progress.close()
    err = capsys.readouterr().err
    assert "2 of 3, second:   2%" in err and re.search(r"about (18|19) min left in all", err)


def test_the_work_of_the_demo_is_what_its_bars_are_named_by() -> None:
    """`test_benchmark.py` runs them: an unknown name would be an error there."""
    assert list(DEMO) == ["warm start", "noadapt", "mask model", "se+fd"]
