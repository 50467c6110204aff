# ---
# jupyter:
#   sdcda:
#     seconds: 15
# ---

# %% [markdown]
# # 11 · Real data: solutions
#
# [← back to the notebook](../11_real_data.ipynb)

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

from sdcda_tutorial.datasets import select_scenes
from sdcda_tutorial.datasets.scene_regularization import CAPACITY
from sdcda_tutorial.teaching.exercises import check
from sdcda_tutorial.prediction import reach

# %% [markdown]
# ## 11.1 Which scenes suit Shanghai?

# %%
def suits_shb(level, hour, weather, count):
    return (
        1 <= level <= 5
        and 6 <= hour <= 20
        and weather in (0, 1, 5, 6)
        and 10 <= count <= 600
        and count / CAPACITY[level] > 0.3
    )


check("11.1", suits_shb)

# %% [markdown]
# The level's bounds and the count's overlap: at level 5 the capacity is 600. The ratio is the condition that works hardest.
# It asks for places that are at least a third full, as streets in a crowd data set are. Which condition leaves out how
# many, taken alone, in the mini world:

# %%
records = notebook.world().source.scene_records()
conditions = {
    "level": lambda r: 1 <= r.level <= 5,
    "hour": lambda r: 6 <= r.hour <= 20,
    "weather": lambda r: r.weather in (0, 1, 5, 6),
    "count": lambda r: 10 <= r.count <= 600,
    "ratio": lambda r: r.count / CAPACITY[r.level] > 0.3,
}
for name, holds in conditions.items():
    print(f"{name:<8} {sum(not holds(record) for record in records):>3} of {len(records)} left out")
ours = [record for record in records if suits_shb(record.level, record.hour, record.weather, record.count)]
print("together the same as the package's rule:", ours == select_scenes(records, "shb"))

# %% [markdown]
# In the mini world the night leaves out most, and the ratio comes second. An image may fail several conditions, so the
# numbers add up to more than the images left out. What this does not show: that these images would have done harm in a
# training.
#
# ## 11.2 Heads of GCC

# %%
def points_of_gcc(location):
    return np.asarray(location)[:, ::-1] + 0.5


check("11.2", points_of_gcc)

# %% [markdown]
# Reversing the columns makes (column, row), adding a half makes floats of the whole numbers. Adding to an array of `uint16`
# is safe here because the half is a float: NumPy gives the result a type that can hold it. Half a pixel is little beside
# a head. It matters where images are made smaller and larger again: an offset that is forgotten once is scaled with them.
#
# ## 11.3 When will it be done?

# %%
def hours_left(steps, done, step, loading, workers):
    each = max(step, loading / workers) if workers else step + loading
    return (steps - done) * each / 3600


check("11.3", hours_left)

# %%
for workers in (0, 1, 2, 4, 8):
    print(f"{workers} workers: {hours_left(342_275, 0, 0.5, 1.6, workers):6.1f} h")

# %% [markdown]
# For the 342,275 steps of the notebook, with 1.6 s of loading made up for the example. From 4 workers on the device is the
# slower one, and more of them gain nothing. It is an estimate from one step on a quiet machine. It knows nothing of a disk
# that other people use as well, and it leaves out the validations, which `--dry-run` counts.
#
# ## 11.4 How far does a network look?

# %%
def margin(layers):
    pixels = 0
    for kind, size in reversed(layers):
        if kind == "conv":
            pixels += size // 2
        elif kind == "pool":
            pixels *= 2
        else:
            pixels = pixels // 2 + 1
    return pixels


check("11.4", margin)

# %% [markdown]
# Now the mini preset's counter as such a list: E of VGG16 with three poolings (stride 8), then C. Rounded up to a multiple
# of the stride it must be what `reach` says.

# %%
E = []
for convolutions, pooled in ((2, True), (2, True), (3, True), (3, False)):
    E += [("conv", 3)] * convolutions + [("pool", 2)] * pooled
counter = notebook.counter("se+fd")
C = [layer for convolution in counter.C.convolutions for layer in (("conv", convolution[0].kernel_size[0]), ("up", 2))]
if counter.C.refine is not None:
    C.append(("conv", counter.C.refine[0].kernel_size[0]))
looks = margin(E + C)
print("E alone looks", margin(E), "pixels far, E and C together", looks)
print("rounded up, the same as `reach`:", -(-looks // counter.E.stride) * counter.E.stride == reach(counter))

# %% [markdown]
# It is the furthest pixel that *can* matter. How much it does matter is a question of the weights: in the notebook's figure
# the difference is small long before the margin is full. Small is not nothing, and for another image it may be larger,
# so the package takes all of it.
