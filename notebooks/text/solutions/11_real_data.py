# ---
# jupyter:
#   sdcda:
#     seconds: 15
# ---

# %% [markdown]
# # 11 · Real data: solutions
#
# [← back to the notebook](../11_real_data.ipynb)

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: give REPO an address; elsewhere: does nothing) { display-mode: "form" }
REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

import numpy as np

from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## 11.1 The annotation that the check cannot see

# %%
def repeated(heads):
    keys = {name: frozenset(map(tuple, points.tolist())) for name, points in heads.items()}
    found = list(keys.values())
    return sorted(name for name, key in keys.items() if key and found.count(key) > 1)


check("11.1", repeated)

# %% [markdown]
# A frozen set does not care about the order of the points and can be compared. On the target's
# training images, before and after one annotation is copied over another:

# %%
target = notebook.world().target
heads = {f"IMG_{index + 1}": target[index].points for index in range(len(target))}
print(f"{len(heads)} images as they are: {len(repeated(heads))} with repeated heads")
heads["IMG_7"] = heads["IMG_1"]
print("after the copy:", *repeated(heads))

# %% [markdown]
# Two images of one camera may show the same people, but hardly at the same coordinates to the last
# digit. This finds an annotation that is there twice. It does not find two that were exchanged:
# each would still be there once. Only a look at points on heads does, for as many images as you
# have the patience for.
#
# ## 11.2 Heads of GCC

# %%
def points_of_gcc(location):
    return np.asarray(location)[:, ::-1] + 0.5


check("11.2", points_of_gcc)

# %% [markdown]
# Reversing the columns gives (column, row); adding a half gives floats, so nothing overflows in
# `uint16`. Half a pixel is little beside a head of 4. It matters when images are resized: an offset
# that is forgotten once is scaled with them. The check cannot prove that *your* files are in GCC's
# order: look at points on an image.
#
# ## 11.3 When will it be done?

# %%
def hours_left(steps, done, step, loading, workers):
    each = max(step, loading / workers) if workers else step + loading
    return (steps - done) * each / 3600


check("11.3", hours_left)

# %%
for workers in (0, 1, 2, 4, 8):
    print(f"{workers} workers: {hours_left(342_250, 0, 0.5, 1.6, workers):6.1f} h")

# %% [markdown]
# The preset `paper` takes 342,250 steps on all of GCC; the 0.5 s and 1.6 s are made up for the
# example. From 4 workers on, the device is the slower part and more workers gain nothing. The
# estimate knows nothing of a disk that other people use, too, and leaves out the validations, which
# `--dry-run` counts.
