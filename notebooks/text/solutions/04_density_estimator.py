# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 04 · Density estimator: solutions
#
# [← back to the notebook](../04_density_estimator.ipynb)

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

import torch

from sdcda_tutorial.teaching.exercises import check
from sdcda_tutorial.losses import density_loss

# %% [markdown]
# ## 4.1 Eq. 6 in training

# %%
def training_loss(output, F, label_factor):
    return 0.5 * (output - label_factor * F).square().mean()


check("4.1", training_loss)

# %% [markdown]
# The factor goes to the truth only, since the output has it already. Nobody multiplies the output: the network learns to.
# Dividing the output instead would compare the same maps, with a loss that is smaller by the square of the factor:

# %%
output, F = torch.full((1, 1, 2, 2), 0.4), torch.full((1, 1, 2, 2), 0.03)
scaled, people = float(training_loss(output, F, 10)), float(density_loss(output / 10, F))
print("scaled / in people:", round(scaled / people))

# %% [markdown]
# That both have their minimum at the same map does not make them equal in Eq. 5, where the other losses do not change with the
# factor.
#
# ## 4.2 Counts of a batch

# %%
def counts(output, label_factor):
    return output.sum(dim=(1, 2, 3)) / label_factor


check("4.2", counts)

# %% [markdown]
# One number an image. Summing over everything gives the people of the whole batch, which is right only for a batch of one. That
# is how this slip hides in an evaluation and shows up in training.
#
# ## 4.3 Where the error lies

# %%
def error_parts(pred, truth):
    background = float(pred[truth == 0].sum())
    crowd = float(pred[truth > 0].sum() - truth.sum())
    return background, crowd


check("4.3", error_parts)

# %% [markdown]
# The two add up to the error of the count. A count can be right because both parts are wrong:

# %%
truth = torch.zeros(4, 6)
truth[:2, :2] = 1.0  # four people
pred = 0.5 * truth
pred[3, 2:] = 0.5  # two found, two in the hedge
print("counts:", float(truth.sum()), float(pred.sum()), "  parts:", error_parts(pred, truth))

# %% [markdown]
# The error of this count is 0. That is why the tutorial reports both parts beside MAE. What the split does not tell: whether the
# two people in the crowd are in the right places.
