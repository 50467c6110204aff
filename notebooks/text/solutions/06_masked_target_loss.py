# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 06 · Masked target loss: solutions
#
# [← back to the notebook](../06_masked_target_loss.ipynb)

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
import torch.nn.functional as nnF

from sdcda_tutorial import losses
from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## 6.1 H by hand

# %%
H = [1, 0.75, 0.5, 1]
loss = (0 + 1.386 + 0.693 + 0) / 4

check("6.1", (H, loss))
print("loss:", round(loss, 3))

# %% [markdown]
# The first pixel (0.9, a good guess inside the rectangle) and the last (0.2, perhaps a miss) cost the same: nothing. From
# this loss one cannot tell how well S finds people. A small value only says that S is quiet on the background.

# %% [markdown]
# ## 6.2 The target loss in PyTorch

# %%
def target_loss(logits, z):
    return ((1 - z) * nnF.softplus(logits)).mean()


check("6.2", target_loss)

# %% [markdown]
# A second way that is right: PyTorch's own cross-entropy with the label 0 everywhere, silenced on the crowd by its
# `weight`. It is as stable, and the mean runs over all pixels as well.

# %%
def target_loss_by_weight(logits, z):
    return nnF.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits), weight=1 - z)


check("6.2", target_loss_by_weight)

generator = torch.Generator().manual_seed(0)
x = torch.randn(2, 1, 4, 5, generator=generator)
z = (torch.rand(2, 1, 4, 5, generator=generator) < 0.4).float()
package = losses.target_segmentation_loss(x, z)
print("both as the package:", all(bool(torch.allclose(way(x, z), package)) for way in (target_loss, target_loss_by_weight)))

# %% [markdown]
# Agreement on random numbers does not prove that the reading of Eq. 9 is the authors'. It shows that two programs read it
# alike.

# %% [markdown]
# ## 6.3 The gradient by hand
#
# With $\hat z = \mathrm{sigmoid}(x)$ the chain rule gives, on the background,
#
# $$\frac{\partial}{\partial x}\big(-\log(1 - \hat z)\big) = \frac{1}{1 - \hat z} \cdot \hat z (1 - \hat z) = \hat z .$$

# %%
def gradient(logits, z):
    return (1 - z) * logits.sigmoid() / logits.numel()


check("6.3", gradient)

x.requires_grad_()
(autograd,) = torch.autograd.grad(losses.target_segmentation_loss(x, z), x)
print("as autograd:", bool(torch.allclose(gradient(x.detach(), z), autograd)))

# %% [markdown]
# The factor $1 - \hat z$ cancels. That is the gift of cross-entropy on a sigmoid: the push stays near 1, the largest there
# is, where S is surely wrong, and does not fade as the sigmoid flattens. Without the cancelling it would be lost there.
# And $\hat z$ is never exactly 0: a background pixel that is right already keeps being pushed a little, for ever.
#
# What this does not prove: how far a *weight* of the network moves. It gets the sum of these pushes over all pixels, and in
# Eq. 5 that sum is multiplied by λt and meets the pushes of the other losses.
