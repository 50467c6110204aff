# ---
# jupyter:
#   sdcda:
#     seconds: 10
# ---

# %% [markdown]
# # 00 · Start here: solutions
#
# [← back to the notebook](../00_start_here.ipynb)

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: give REPO an address; elsewhere: does nothing) { display-mode: "form" }
REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

# %%
import numpy as np

from sdcda_tutorial.datasets.batches import DensityKernel
from sdcda_tutorial.evaluation import evaluate
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.teaching.exercises import check

sigma_2 = DensityKernel(sigma=2.0)
first_24 = [notebook.world().target_test[i] for i in range(24)]
counters = {name: notebook.counter(name) for name in ("noadapt", "se+fd")}

# %% [markdown]
# ## 0.1 People who are not there

# %%
def background_error(predicted, truth):
    return float(predicted[truth == 0].sum())


check("0.1", background_error)

# %% [markdown]
# The measurement, beside the guess that you wrote down:

# %% sdcda={"tolerance": {"rel": 0.05, "abs": 0.3}}
sample, truth = first_24[19], sigma_2.draw(first_24[19])
print(f"image 19: {sample.count} people")
for name, C in counters.items():
    y = predict_density(C, sample.image)
    print(f"{name:8} predicts {y.sum():.1f}, background {background_error(y, truth):.1f} people")

# %% [markdown]
# Of the 34.0 people that the counter without adaptation sees, 24.2 stand where nobody is. So it
# sees only 9.8 of the real 29. Its error of five people is luck: two large mistakes cancel. After
# adaptation the background holds 5.3 people.
#
# This does not prove that a counter with a small background error counts well: one that sees
# nobody anywhere has none at all. The measure also depends on the kernel, since a wider one
# leaves less of the image at exactly zero.
#
# ## 0.2 Right for the wrong reasons

# %%
def hidden_errors(true, predicted, invented):
    missed = true - (predicted - invented)  # of the people who are there
    return np.minimum(invented, np.clip(missed, 0, None))


check("0.2", hidden_errors)

# %% [markdown]
# Now over all 24 images. How large is the error that one sees, and how large is the one that is
# hidden?

# %% sdcda={"tolerance": {"rel": 0.05, "abs": 0.6}}
for name, C in counters.items():
    rows = evaluate(C, first_24, kernel=sigma_2, progress=False).rows
    columns = zip(*((row.count, row.predicted, row.background) for row in rows))
    true, predicted, invented = (np.array(column) for column in columns)
    hidden = hidden_errors(true, predicted, invented)
    print(f"{name:8} MAE {abs(predicted - true).mean():4.1f}   hidden {hidden.mean():4.1f}", end="")
    print(f"   most hidden in image {hidden.argmax()}: {hidden.max():.1f} people")

# %% [markdown]
# Without adaptation image 19 hides most: 19.2 missed people behind 24.2 invented
# ones. On average the counter without adaptation hides only 3.3 people per image beside an MAE of
# 52.7: its mistakes go one way, far too many people. After adaptation 2.0 stay hidden beside an
# MAE of 8.2. So the fall of the MAE is no trick of cancelling errors here.
#
# This does not prove that the other people are found where they stand: within the crowd, one head
# missed and one counted twice cancel as well, and nothing here notices. Notebook 09 has measures
# that do.
