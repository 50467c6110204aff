# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 09 · Evaluation: solutions
#
# [← back to the notebook](../09_evaluation.ipynb)

# %% tags=["colab"]
import sys

REPO = ""  # OWNER/NAME on GitHub, stamped by `make colab`
if "google.colab" in sys.modules:
    import os, subprocess
    assert REPO, "this copy names no repository: whoever shares it stamps it with `make colab REPO=OWNER/NAME`"
    folder, address = "/content/" + REPO.split("/")[1], "https://github.com/" + REPO
    if not os.path.isdir(folder):
        subprocess.run(["git", "clone", "-q", "--depth=1", address, folder], check=True)
    os.chdir(folder)
    import torch, torchvision
    with open("/content/keep.txt", "w") as file:  # Colab's own PyTorch fits its GPU and stays as it is
        file.write(f"torch=={torch.__version__}\ntorchvision=={torchvision.__version__}\n")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-c", "/content/keep.txt", "-e", "."], check=True)
    sys.path.insert(0, os.getcwd())  # what was just installed is not seen by a Python that is running
    if not torch.cuda.is_available():
        print("No GPU is on. Runtime > Change runtime type > T4 GPU, then run this cell again. A CPU does, slowly.")

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

import numpy as np
import torch

from sdcda_tutorial import metrics
from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## 9.1 MAE and the root of the mean square

# %%
def count_errors(truth, pred):
    error = np.asarray(pred) - np.asarray(truth)
    return np.abs(error).mean(), np.sqrt((error**2).mean())


check("9.1", count_errors)

# %% [markdown]
# Absolute value or square first, mean next, root last. The MSE is never below the MAE, and equal to it only when all
# images are wrong by the same amount. So the ratio of the two tells how uneven the errors are:

# %%
for name, error in {"even": [5, -5, 5, -5], "uneven": [20, 0, 0, 0]}.items():
    mae, mse = count_errors(np.zeros(4), np.array(error))
    print(f"{name:<7} MAE {mae:.1f}  MSE {mse:.1f}  ratio {mse / mae:.1f}")

# %% [markdown]
# What it does not prove: that a counter with a low MAE finds the people. Errors that cancel within an image are invisible
# to both.

# %% [markdown]
# ## 9.2 PSNR of a density map

# %%
def psnr(pred, truth):
    mean_square = (pred - truth).square().mean()
    return float(10 * torch.log10(truth.max() ** 2 / mean_square))


check("9.2", psnr)

# %% [markdown]
# The mean is over *all* pixels, and most of a density map is empty. So the same wrong spot weighs less in a larger image:

# %%
truth, pred = torch.zeros(10, 10), torch.zeros(10, 10)
truth[2, 2] = pred[2, 2] = 1.0
pred[7, 7] = 1.0  # a person who is not there
wide_truth, wide_pred = (torch.nn.functional.pad(F, (0, 90, 0, 90)) for F in (truth, pred))
print(f"10 × 10 pixels: {psnr(pred, truth):.0f} dB   the same in 100 × 100: {psnr(wide_pred, wide_truth):.0f} dB")
print("the package's agrees:", bool(abs(psnr(pred, truth) - metrics.psnr(pred, truth)) < 1e-4))

# %% [markdown]
# Twenty decibels for nothing but empty ground around the scene. A PSNR compares methods on the same images, never one
# data set with another.

# %% [markdown]
# ## 9.3 Where the error lies

# %%
def error_parts(pred, truth):
    empty = truth == 0
    return float(pred[empty].sum()), float(pred[~empty].sum() - truth.sum())


check("9.3", error_parts)

# %% [markdown]
# The two parts may hide each other. Here a counter misses two people and sees two in the background; its count is
# perfect:

# %%
truth, pred = torch.zeros(6, 6), torch.zeros(6, 6)
truth[1, 1], truth[1, 4] = 2.0, 2.0
pred[1, 1], pred[5, 5] = 2.0, 2.0
background, crowd = error_parts(pred, truth)
print(f"background {background:+.0f}, crowd {crowd:+.0f}, error of the count {background + crowd:+.0f}")

# %% [markdown]
# What it does not prove: that an error "in the crowd" concerns people. Any pixel within reach of a head's kernel counts
# as crowd, and a wider kernel moves the line between the parts.

# %% [markdown]
# ## 9.4 Two methods, the same seeds

# %%
def paired_difference(a, b):
    difference = np.asarray(a) - np.asarray(b)
    return difference.mean(), difference.std(ddof=1)


check("9.4", paired_difference)

# %% [markdown]
# An invented example: a world's difficulty moves both methods by tens of people, and their difference by one or two.

# %%
difficulty = np.array([10.0, 40.0, 25.0, 60.0, 15.0])
a, b = difficulty + [1, -1, 0, 1, -1], difficulty + [4, 3, 5, 4, 4]
mean, sd = paired_difference(a, b)
unpaired = np.sqrt(a.var(ddof=1) + b.var(ddof=1))
print(f"mean difference {mean:.1f}: spread {sd:.1f} seed by seed, {unpaired:.1f} if the pairs are forgotten")

# %% [markdown]
# Forgotten pairs would bury a clear difference under the spread of the worlds. The mean of the differences is the
# difference of the means either way; only the doubt about it changes. What pairing does not do is make five seeds into
# more: a standard deviation of five numbers is itself uncertain by a factor of about two.
