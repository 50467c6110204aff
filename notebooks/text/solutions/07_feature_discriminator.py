# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 07 · Feature discriminator: solutions
#
# [← back to the notebook](../07_feature_discriminator.ipynb)

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
import torch.nn.functional as F

from sdcda_tutorial.teaching.exercises import check
from sdcda_tutorial.networks import FeatureDiscriminator

# %% [markdown]
# ## 7.1 D's loss

# %%
def discriminator_loss(source_logits, target_logits):
    of_source = F.softplus(-source_logits).mean()  # -log p, label 1
    of_target = F.softplus(target_logits).mean()  # -log(1 - p), label 0
    return 0.5 * (of_source + of_target)


check("7.1", discriminator_loss)

# %% [markdown]
# The mean of each domain comes first, so that both count the same even in batches of unequal size. A constant answer
# cannot do better than log 2, whatever the answer:

# %%
for constant in (-1.0, 0.0, 1.0):
    logits = torch.full((1, 1, 1, 1), constant)
    print(f"always {constant:4.1f}: {discriminator_loss(logits, logits):.3f}")

# %% [markdown]
# What this does not prove: that a loss of log 2 in a training means that the features are alike. A D that cannot learn has
# the same loss.
#
# ## 7.2 E's adversarial loss

# %%
def adversarial_loss(target_logits):
    return F.softplus(-target_logits).mean()


check("7.2", adversarial_loss)

# %% [markdown]
# It is D's loss with the label swapped, for the target only. Both losses look at the same logits of the target, and their
# gradients always point in opposite directions:

# %%
logits = torch.tensor([[[[-3.0, 0.0, 2.0]]]], requires_grad=True)
(of_E,) = torch.autograd.grad(adversarial_loss(logits), logits)
(of_D,) = torch.autograd.grad(discriminator_loss(torch.zeros(1, 1, 1, 3), logits), logits)
print("E's gradient negative everywhere:", bool((of_E < 0).all()), "  D's positive everywhere:", bool((of_D > 0).all()))

# %% [markdown]
# They are not each other's negative, though: E's is largest where D is sure, D's where D is wrong. So this is not one
# loss with two signs. It does not follow that the two ever come to rest; the toy of the notebook shows games that do not.
#
# ## 7.3 How many answers D gives

# %%
def output_size(height, width, stride):
    return height // stride // 16, width // stride // 16


check("7.3", output_size)

# %% [markdown]
# Halving and rounding down four times is the same as dividing by 16 and rounding down once. Against the module:

# %%
D = FeatureDiscriminator(8, width=0.25)
for height, width in ((480, 640), (256, 272), (752, 1024)):
    made = tuple(D(torch.zeros(1, 8, height // 16, width // 16)).shape[2:])
    print((height, width), made, made == output_size(height, width, 16))

# %% [markdown]
# This says how many answers there are, not how much of the image each one sees: neighbouring answers overlap, and E has
# looked far around before D begins.
