# ---
# jupyter:
#   sdcda:
#     seconds: 10
# ---

# %% [markdown]
# # 10 · Image translation: solutions
#
# [← back to the notebook](../10_image_translation.ipynb)

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

from sdcda_tutorial.rivals import cyclegan_losses as losses
from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## 10.1 There and back again

# %%
def cycle_loss(x, forth, back):
    return 2 * (back(forth(x)) - x).abs().mean()


check("10.1", cycle_loss)

# %% [markdown]
# The cycle says nothing about what lies between. Inverted colours come back perfectly, and so does a picture upside down:

# %%
x = torch.rand(1, 3, 8, 8)
print("negative and back:", round(float(cycle_loss(x, lambda image: 1 - image, lambda image: 1 - image)), 6))
print("upside down and back:", round(float(cycle_loss(x, lambda image: image.flip(2), lambda image: image.flip(2))), 6))

# %% [markdown]
# Upside down would ruin every label of a translated scene. What speaks against it is not this loss but the discriminator,
# which would see people on their heads, and the convolutions, which would have to carry each pixel across the whole image.
#
# ## 10.2 What a discriminator of patches minimises

# %%
def patch_loss(real, made):
    return ((real - 1).square().mean() + made.square().mean()) / 2


check("10.2", patch_loss)

# %% [markdown]
# Against the cross-entropy of notebook 07: how strongly is the generator pulled, by the output of D on its image?

# %%
output = torch.tensor([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0], requires_grad=True)
print("output of D            ", *(f"{value:5.1f}" for value in output.tolist()))
for name, loss in {"squares": ((output - 1) ** 2).sum(), "cross-entropy": -torch.nn.functional.logsigmoid(output).sum()}.items():
    (pull,) = torch.autograd.grad(loss, output)
    print(f"gradient, {name:<13}", *(f"{value:5.1f}" for value in pull.tolist()))

# %% [markdown]
# Cross-entropy pulls with a force of 1 at most and always upwards: the surer the better. Squares pull the harder the further an
# output is from 1, and from above they pull back. What it does not prove: that training by squares is better. CycleGAN's
# authors found it steadier; we have not compared.
#
# ## 10.3 A memory for the discriminator

# %%
def exchange(pool, capacity, image, coin, place):
    if len(pool) < capacity:
        pool.append(image)
        return image
    if coin < 0.5:
        pool[place], image = image, pool[place]
    return image


check("10.3", exchange)

# %% [markdown]
# How old does an image get? Of a full pool of 50, each new image pushes one out with probability 1/2, each of the 50 with the
# same chance:

# %%
rng, pool, born, ages = np.random.default_rng(0), [], {}, []
for step in range(20_000):
    born[step] = step
    shown = exchange(pool, 50, step, rng.uniform(), int(rng.integers(50)))
    if shown != step:
        ages.append(step - born[shown])
print(f"an image that comes out of the pool was made {np.mean(ages):.0f} steps ago on average")

# %% [markdown]
# By hand: it stays with probability 99/100 a step, which makes 100 steps on average.
