# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 09 · Evaluation: solutions
#
# [← back to the notebook](../09_evaluation.ipynb)

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: give REPO an address; elsewhere: does nothing) { display-mode: "form" }
REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

import numpy as np
import torch
from IPython.display import display

from sdcda_tutorial import metrics
from sdcda_tutorial.experiments.figures import per_seed
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.teaching import comparisons
from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## 9.1 MAE and the root of the mean square

# %%
def count_errors(truth, pred):
    error = np.asarray(pred, dtype=float) - np.asarray(truth, dtype=float)
    return float(np.abs(error).mean()), float(np.sqrt((error**2).mean()))


check("9.1", count_errors)

# %% [markdown]
# Absolute value or square first, mean next, root last. The MSE is never below the MAE, and equal to
# it only if all images are wrong by the same amount. So the ratio of the two shows how uneven the
# errors are:

# %%
for name, error in {"even": [5, -5, 5, -5], "uneven": [20, 0, 0, 0]}.items():
    mae, mse = count_errors(np.zeros(4), np.array(error))
    print(f"{name:<7} MAE {mae:.1f}  MSE {mse:.1f}  ratio {mse / mae:.1f}")

# %% [markdown]
# It does not prove that a counter with a low MAE finds the people: errors that cancel within an
# image are invisible to both.
#
# ## 9.2 The best counter that never looks

# %%
def best_constants(truth):
    return float(np.median(truth)), float(np.mean(truth))


check("9.2", best_constants)

# %% [markdown]
# Move the answer up by one person: the MAE falls by 1/N for every image above it and rises by 1/N
# for every image below. The two balance at the *median*. The sum of $(c - y)^2$ has the derivative
# $2 \sum (c - y)$, which is zero at the *mean*. How good is such a counter on the mini world's
# target?

# %%
truth = np.array([sample.count for sample in notebook.world().target_test])
for name, answer in zip(("median", "mean"), best_constants(truth)):
    mae, mse = count_errors(truth, np.full(len(truth), answer))
    print(f"always the {name:<6} {answer:5.1f}   MAE {mae:.1f} people   MSE {mse:.1f} people")

# %% [markdown]
# On every third of these images notebook 09 measures an MAE of 57.5 people for NoAdapt and of 8.8
# for SE+FD. So the counter that never looks beats the first by far. It is no counter for the
# target, though: it needs the true counts.
#
# ## 9.3 The right count in the right quarter

# %%
def quarter_error(pred, truth):
    height, width = truth.shape
    quarters = (pred - truth).reshape(2, height // 2, 2, width // 2).sum(dim=(1, 3))
    return float(quarters.abs().sum())


check("9.3", quarter_error)

# %% [markdown]
# The field calls this GAME(1), the grid average mean error, and goes on: level 2 has 16 cells,
# level 3 has 64. We spoil the map of notebook 09 again:

# %%
sample = notebook.world().target_test[3]
F = MINI.adaptation.kernel.draw(sample)
spoilt = {
    "mirrored": F.flip(1),
    "everybody at half weight": F / 2,
    "nobody": torch.zeros_like(F),
    "moved by 3 pixels": F.roll(3, dims=1),
    "haze of 0.002": F + 0.002 * (F == 0),
}
rows = []
for name, F_hat in spoilt.items():
    levels = [metrics.game(F_hat, F, 0), quarter_error(F_hat, F)]
    levels += [metrics.game(F_hat, F, level) for level in (2, 3)]
    rows.append([name, *(f"{value:.1f}" for value in levels)])
header = [f"{sample.count} people", "whole image", "4 quarters", "16 cells", "64 cells"]
display(comparisons.table(header, rows))

# %% [markdown]
# The four columns go from the error of the count to a question about places. *Moved by 3 pixels*
# stays small: 1.3 people in quarters, 6.1 in 64 cells. *Mirrored* grows from 0 to 34.5, and with 4
# or 16 cells it is better than *nobody*, as it should be. *Haze* is by far the worst. PSNR had
# ranked it best. A deficit or an excess that is everywhere, as in the other rows, is the same at
# every level.
#
# It does not prove that smaller cells are better judges. At 64 cells *mirrored* is behind *nobody*
# again: the finer the grid, the more it resembles a comparison pixel by pixel.
#
# ## 9.4 Five seeds and the coin

# %%
def sign_flip_share(a, b):
    difference = np.asarray(a) - np.asarray(b)
    n = len(difference)
    signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)  # (2^n, n), every choice once
    means = np.abs((signs * difference).mean(axis=1))
    return float((means >= abs(difference.mean()) - 1e-9).mean())


check("9.4", sign_flip_share)

# %% [markdown]
# (The tiny tolerance keeps a tie a tie in floating point.) Now the comparisons of notebook 09, and SE
# against NoAdapt with the ten seeds of both rounds: neither method has a D, so both rounds are the
# same experiment.

# %%
found, earlier = notebook.result("mini_world"), notebook.result("mini_world_first_confirmation")
for a, b in [("se+fd", "noadapt"), ("se", "noadapt"), ("fd", "noadapt"), ("se+fd", "se")]:
    share = sign_flip_share(per_seed(found, a), per_seed(found, b))
    print(f"{a:<6} against {b:<8} 5 seeds: share {share:.4f}")
rounds = (found, earlier)
both = [np.concatenate([per_seed(one, m) for one in rounds]) for m in ("se", "noadapt")]
print(f"se     against noadapt 10 seeds: share {sign_flip_share(*both):.4f}")

# %% [markdown]
# Five agreeing seeds give 0.0625, whether the gain is 1.7 people or 21.2: the share counts how
# consistent a difference is, not how large. It is also the best that five seeds can reach. Ten
# agreeing seeds give 2 of 1024.
#
# It does not prove that SE+FD beats SE. The earlier round has the opposite sign on all its five
# seeds, with another λd (notebook 09), and the test knows nothing of rounds that you leave out.
