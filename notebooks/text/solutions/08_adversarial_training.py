# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 08 · Adversarial training: solutions
#
# [← back to the notebook](../08_adversarial_training.ipynb)

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
from torch import nn

from sdcda_tutorial import losses
from sdcda_tutorial.teaching.exercises import check
from sdcda_tutorial.teaching.demos.training_replay import read_log

# %% [markdown]
# ## 8.1 The sum of Eq. 5

# %%
def total(L_den, L_seg_s, L_seg_t, L_adv, lambda_s, lambda_t, lambda_d):
    return L_den + lambda_s * L_seg_s + lambda_t * L_seg_t + lambda_d * L_adv


check("8.1", total)

# %% [markdown]
# The density loss has no weight of its own, so the λ say how much the others count *beside it*. That depends on its size:
# Eq. 6 is a square, and with labels 10 times larger it is 100 times larger, as if all three λ had been divided by 100.

# %%
density, seg = torch.tensor(0.05), torch.tensor(0.4)
for factor in (1, 10):
    L_den = losses.density_loss(factor * density, torch.zeros(()))
    share = 0.01 * seg / total(L_den, seg, 0, 0, 0.01, 0, 0)
    print(f"labels × {factor:2}: the mask loss is {share:.0%} of the sum")

# %% [markdown]
# What this does not show is how strongly a term *moves* the weights. That is a matter of its gradient, not of its size.

# %% [markdown]
# ## 8.2 One step of E, one step of D

# %%
def alternate(E, D, optimizers, xs, xt, lambda_d):
    fs, ft = E(xs), E(xt)
    optimizers["E"].zero_grad()
    (lambda_d * F.softplus(-D(ft)).mean()).backward()
    optimizers["E"].step()

    optimizers["D"].zero_grad()  # also takes away what E's backward left in D
    loss = 0.5 * (F.softplus(-D(fs.detach())).mean() + F.softplus(D(ft.detach())).mean())
    loss.backward()
    optimizers["D"].step()


check("8.2", alternate)

# %% [markdown]
# The package freezes D while E learns, this solution clears D's gradients afterwards: two ways to the same weights. Does
# it do anything? Two clouds of points, one linear map E for both, and a D to tell them apart:

# %%
def gap(lambda_d, steps=300):
    """Distance between the mean features of the domains after some alternating steps."""
    torch.manual_seed(0)
    xs, xt = torch.randn(200, 2), torch.randn(200, 2) + torch.tensor([3.0, 0.0])
    E, D = nn.Linear(2, 2), nn.Linear(2, 1)
    with torch.no_grad():
        E.weight.copy_(torch.eye(2))
        E.bias.zero_()
    optimizers = {"E": torch.optim.SGD(E.parameters(), 0.02), "D": torch.optim.SGD(D.parameters(), 0.2)}
    for _ in range(steps):
        alternate(E, D, optimizers, xs, xt, lambda_d)
    with torch.no_grad():
        return float((E(xs).mean(0) - E(xt).mean(0)).norm())


print("the gap was 3; without Eq. 10 it is still near 3:", abs(gap(0.0) - 3) < 0.3)
print("with λd = 1 less than half is left:", gap(1.0) < 1.5)

# %% [markdown]
# D learns ten times faster than E here, so that E always follows a D that is up to date. The gap closes because E may
# shrink the direction in which the clouds differ; it has no other task that needs it. This does not prove that closing it
# helps a count: a constant E has no gap at all.

# %% [markdown]
# ## 8.3 Choose the checkpoint

# %%
def choose(history, steps):
    validated = [line for line in history if "validation" in line and line["step"] >= steps / 2]
    return min(validated, key=lambda line: line["validation"])["step"]


check("8.3", choose)

# %% [markdown]
# `min` keeps the first of equals. The rule applied to the log of the stored SE+FD model gives a step of its second half:

# %%
log = read_log(notebook.CHECKPOINTS / "se+fd.jsonl")
steps = log[-1]["step"]
print(steps, "steps; chosen from the second half:", choose(log, steps) >= steps / 2)

# %% [markdown]
# The lowest error on held-out *source* images need not be the lowest on the target: the rule is honest, not clever. What
# it buys is that the target's test error has not chosen the checkpoint.
