# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 04 · Density estimator: solutions
#
# [← back to the notebook](../04_density_estimator.ipynb)

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: give REPO an address; elsewhere: does nothing) { display-mode: "form" }
REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

import numpy as np
import torch

from sdcda_tutorial import losses
from sdcda_tutorial.density import density_map
from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## 4.1 Your own Eq. 6

# %%
def density_loss(pred, truth):
    if pred.shape != truth.shape:
        raise ValueError(f"shapes differ: {tuple(pred.shape)} and {tuple(truth.shape)}")
    return 0.5 * (pred - truth).square().mean()


check("4.1", density_loss)

# %% [markdown]
# Why the check of shapes matters: the same four maps, once with the dimension of the channel and
# once without it.

# %% sdcda={"tolerance": {"rel": 0.01}}
maps = torch.rand(4, 1, 6, 8, generator=torch.Generator().manual_seed(0))
without_channel = maps[:, 0]
print(f"right shapes:       {float(density_loss(maps, maps)):.4f}")
difference = maps - without_channel
wrong = float(0.5 * difference.square().mean())
print(f"without the check:  {wrong:.4f}, a mean over {tuple(difference.shape)}")

# %% [markdown]
# The maps are equal, so the loss should be 0. Broadcasting compares every map with every other
# one, and training would pull each image towards the mean of the batch without any error message.
# The check does not find maps of the right shape in the wrong order.
#
# ## 4.2 Larger images

# %%
def new_label_factor(factor, scale):
    return factor * scale**2


check("4.2", new_label_factor)

# %% [markdown]
# A person spreads over scale² times as many pixels, so the density falls by scale² and its square
# by scale⁴. The factor enters the loss squared, so scale² is enough. With real maps:

# %% sdcda={"tolerance": {"rel": 0.02}}
points = np.array([[20.0, 20.0], [50.0, 30.0], [60.0, 12.0]])
small = density_map(points, (48, 80), sigma=2.0, kernel_size=15)
large = density_map(2 * points, (96, 160), sigma=4.0, kernel_size=29)
for name, F, factor in (("small", small, 10), ("large", large, 10), ("large", large, 40)):
    people, empty = float(F.sum()), float(losses.density_loss(0 * F, factor * F))
    print(f"{name}, label factor {factor}: {people:.2f} people, an empty map costs {empty:.6f}")

# %% [markdown]
# This keeps the weight of Eq. 6 against the other losses for an *empty* map. It does not show
# that a network learns equally well on larger images: its receptive field, in people, has become
# smaller.
#
# ## 4.3 Where the error lies

# %%
def error_parts(pred, truth):
    background = float(pred[truth == 0].sum())
    crowd = float(pred[truth > 0].sum() - truth.sum())
    return background, crowd


check("4.3", error_parts)

# %% [markdown]
# The two add up to the error of the count. A right count with two wrong parts:

# %%
truth = torch.zeros(4, 6)
truth[:2, :2] = 1.0  # four people
pred = 0.5 * truth  # two of them found
pred[3, 2:] = 0.5  # and two in the hedge
background, crowd = error_parts(pred, truth)
print(f"true count {float(truth.sum()):.0f}, predicted count {float(pred.sum()):.0f}")
print(f"background error {background:+.0f}, crowd error {crowd:+.0f} people")

# %% [markdown]
# The error of this count is 0 although half of the people are missed. That is why this tutorial
# reports both parts beside the MAE. The split does not show whether the people found in the crowd
# are in the right places.
