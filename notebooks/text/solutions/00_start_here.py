# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 00 · Start here: solutions
#
# [← back to the notebook](../00_start_here.ipynb)

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

from sdcda_tutorial import paper
from sdcda_tutorial.density import density_map
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## 0.1 People who are not there

# %%
def background_error(predicted, truth):
    return float(predicted[truth == 0].sum())


check("0.1", background_error)

# %% [markdown]
# It can never be made up for by people who are missed elsewhere, as an error of the count can. Here it is at work on
# the first image of the notebook:

# %%
sample = notebook.world().target_test[15]
truth = density_map(sample.points, sample.size, sigma=2.0)
found = {name: background_error(predict_density(notebook.counter(name), sample.image), truth) for name in ("noadapt", "se+fd")}
print("without adaptation, more people in the background than there are in the image:", found["noadapt"] > sample.count)
print("adapted, less than half as many of them:", found["se+fd"] < found["noadapt"] / 2)

# %% [markdown]
# What it does not prove: that a counter with a small background error counts well. One that sees nobody anywhere has
# none at all. It also depends on the kernel, because a wider kernel leaves less of the image at exactly zero.

# %% [markdown]
# ## 0.2 How much better?

# %%
def mae_drop(table, dataset, before, after):
    mae = {row.method: row.mae for row in table if row.dataset == dataset}
    return 100 * (mae[before] - mae[after]) / mae[before]


check("0.2", mae_drop)

# %%
for before in ("NoAdpt (ours)", "NoAdpt [16]", "SE Cycle GAN [16]"):
    drops = [mae_drop(paper.TABLE_1, name, before, "SE+FD") for name in ("ShanghaiTech A", "ShanghaiTech B", "UCF-QNRF")]
    print(f"SE+FD, from {before:18}" + "".join(f"{drop:8.1f} %" for drop in drops))

# %% [markdown]
# Columns are ShanghaiTech A, B and UCF-QNRF. One method, one table, and drops from 31 % to 15 % on B, depending on
# where one starts; on A, from SE Cycle GAN, it is a rise. A percentage without its base says little. What none of these
# figures proves: that the difference is due to the adaptation and not to the run. The paper gives one figure a cell,
# without a spread.
