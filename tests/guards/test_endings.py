"""Asked to end, a process ends in order; what it started ends with it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from sdcda_tutorial.guards.endings import in_order

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_asked_to_end_it_clears_away_and_a_second_time_changes_nothing(number: int) -> None:
    cleared = []
    with pytest.raises(SystemExit) as leaving, in_order():
        try:
            os.kill(os.getpid(), number)
            pytest.fail("went on")
        finally:
            os.kill(os.getpid(), number)
            cleared.append(True)
    assert leaving.value.code == 128 + number and cleared == [True]
    assert signal.getsignal(number) is signal.SIG_DFL


def test_an_error_that_follows_from_the_end_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as leaving, in_order():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise RuntimeError("a worker was ended")
    assert leaving.value.code == 143
    with pytest.raises(RuntimeError), in_order():
        raise RuntimeError("nobody asked")


def test_what_is_ignored_or_handled_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with in_order():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_signals_are_left_alone() -> None:
    def enter() -> None:
        with in_order():
            pass

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()  # an error in it would fail the test, see pyproject.toml
