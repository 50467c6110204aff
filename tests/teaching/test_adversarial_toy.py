"""The toy of notebook 07: its games are the same every time, and show what the text says about them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest
import torch
from ipywidgets import VBox

from sdcda_tutorial.teaching import adversarial_toy
from sdcda_tutorial.teaching.adversarial_toy import EVERY, FAULTS, STEPS, play, played
from sdcda_tutorial.teaching.demos.adversarial_game import adversarial_game, render_adversarial_game
from sdcda_tutorial.teaching.notebook import picture


def test_a_game_is_the_same_every_time_and_leaves_torch_alone() -> None:
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    game = played(0.1)
    assert torch.equal(play(0.1).gap, game.gap)
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), before)
    assert len(game.gap) == len(game.features) == STEPS // EVERY + 1


def test_balance_aligns_and_its_two_failures_do_not() -> None:
    off, balance, slow, large = played(0), played(0.1), played(0.1, 0.0001), played(10)
    assert balance.late("gap") < 0.5 * off.late("gap") and balance.late("error") < 0.1
    assert slow.late("gap") > off.late("gap") and slow.late("adversarial") < balance.late("adversarial")
    assert large.late("error") > 1
    assert balance.kept < 0.1 < off.kept


def test_balance_mirrors_first() -> None:
    game = played(0.1)
    assert game.side[0] > 2 > -1 > game.side[100 // EVERY] and abs(game.side[-1]) < 0.3


def test_in_one_sum_D_stops_where_its_two_rewards_balance() -> None:
    assert FAULTS[1][1]().late("adversarial") == pytest.approx(torch.tensor(6.0).log().item(), abs=0.01)


def test_figures_have_what_they_promise() -> None:
    game = played(0.1)
    clouds = adversarial_toy.clouds({"start": (game, 0), "end": (game, STEPS), "again": (game, STEPS)})
    assert len(clouds.axes) == 3 and len({axis.get_xlim() for axis in clouds.axes}) == 1
    assert len(adversarial_toy.sweep({0.1: [game], 1: [game]}).axes) == 2


def test_the_demo_draws_every_setting_and_refuses_steps_that_do_not_exist() -> None:
    before = plt.get_fignums()  # other tests may leave some open
    assert picture(render_adversarial_game(0.1, 0.01, 0)) != picture(render_adversarial_game(0.1, 0.01, STEPS))
    for wrong in (-1, STEPS + 1):
        with pytest.raises(ValueError, match=f"0 to {STEPS}"):
            render_adversarial_game(0.1, 0.01, wrong)
    assert plt.get_fignums() == before


def test_the_demo_moves() -> None:
    demo = adversarial_game()
    assert isinstance(demo, VBox)
    weight, _, step, image, problem = demo.children
    first = image.value
    step.value = 100
    second = image.value
    weight.value = 1
    assert len({first, second, image.value}) == 3 and problem.value == ""
