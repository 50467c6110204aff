# ---
# jupyter:
#   sdcda:
#     seconds: 5
# ---

# %% [markdown]
# # B · Ledger
#
# [← A Controls](A_controls.ipynb)
#
# **After this notebook you can** look up any symbol and equation of the paper, see how this
# package settles each point that the paper leaves open, and change it.
#
# **Time** as long as you like: this is a place to look things up; runs in about 5 seconds. **You
# need** notebook 00.

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: give REPO an address; elsewhere: does nothing) { display-mode: "form" }
REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}
KEEP_ON_DRIVE = False  # @param {type: "boolean"}
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

# %%
import torch
from IPython.display import Markdown, display

from sdcda_tutorial import metrics, paper
from sdcda_tutorial.datasets.batches import Batches
from sdcda_tutorial.experiments.presets import MINI, PAPER
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.training.counter_training import networks_of

# %% [markdown]
# ## Symbols
#
# The symbols of the paper are the names in the code. *Where* is relative to `sdcda_tutorial`.

# %%
display(Markdown(paper.as_markdown(paper.SYMBOLS)))

# %% [markdown]
# ## Equations
#
# As printed in the paper, each with its place in the code and what to know about it.

# %%
for equation in paper.EQUATIONS.values():
    where = f"**Eq. {equation.number}** `{equation.where}`: {equation.note}."
    display(Markdown(f"{where}\n\n$${equation.latex}$$"))

# %% [markdown]
# ## The paper's Table 1
#
# Three sentences about it need careful reading. None of them changes what the method is.

# %%
display(Markdown(paper.as_markdown(paper.TABLE_1)))
display(Markdown(paper.as_markdown(paper.SLIPS)))

# %% [markdown]
# ## The ledger: what the paper leaves open
#
# Four pages leave much unsaid. Here are the points at which this package had to decide: the
# paper's words, what later code or the cited work does, what we do, and how to switch. *Later
# code* is what the authors published after the paper, with another method (repository
# taohan10200/NLT; its models/ICASSP_SFC.py looks like this paper's network). A number in brackets is the paper's reference. *mini* and *photos* are presets
# for a laptop; the notebooks run mini.

# %%
for choice in paper.LEDGER:
    lines = {
        "the paper": choice.paper,
        "later code, cited work": choice.others,
        "here": choice.ours,
        "how to switch": choice.switch,
    }
    items = "\n".join(f"- *{name}:* {text}" for name, text in lines.items())
    first = choice.point[0].upper() if choice.point[0].isascii() else choice.point[0]  # not Λd
    display(Markdown(f"**{first}{choice.point[1:]}**\n\n{items}"))

# %% [markdown]
# ## How large are mini and paper?
#
# The paper's scale and the laptop's run through the same code. These are the trained weights of
# the four networks:

# %%
rows = []
for name, preset in {"mini": MINI, "paper": PAPER}.items():
    config = preset.adaptation
    networks, D = networks_of(config)
    parts = {"E": networks.counter.E, "C": networks.counter.C, "S": networks.S, "D": D}
    sizes = (sum(p.numel() for p in part.parameters()) / 1e6 for part in parts.values())
    (height, width), batch = config.source.crop, config.batch_size
    images = f"{batch} + {batch} of {height} × {width}"
    rows.append([name, images, f"{config.stride}", *(f"{size:.2f} million" for size in sizes)])
header = ["preset", "batch", "stride", "E", "C", "S", "D"]
display(Markdown(markdown_table(header, rows, aligned=False)))

# %% [markdown]
# The paper's preset needs a GPU. We had none, so its memory and its time per step are not measured
# here. `--dry-run` measures both on your machine before you train ([notebook
# 11](11_real_data.ipynb)).

# %% [markdown]
# ## PSNR and SSIM as the authors' later code computes them
#
# The paper names PSNR and SSIM without a formula. The package's standard variants are the usual
# ones (notebook 09). The variant `"authors"` follows the authors' later code, and both measures
# differ.
#
# **PSNR.** The code divides the true and the predicted map each by its *own* maximum first. A
# prediction that is half the truth everywhere then has an infinite PSNR, since the factor
# cancels.
#
# **SSIM.** Take the two flat maps of notebook 09, 1 and 0.5, whose SSIM is 0.80.
# The later code adds up over an 11 × 11 window where the definition takes means. The sums are 121
# and 60.5, and the first factor stays 0.80. But the "variances" become
#
# $$\sum x^2 - \left(\sum x\right)^2 = 121 - 14641 = -14520
# \quad \text{and} \quad 30.25 - 3660.25 = -3630,$$
#
# the "covariance" becomes $60.5 - 7320.5 = -7260$, and the second factor $2 \cdot 7260 / (14520 +
# 3630)$ is another 0.80. So the value is 0.64. The later code's windows do not overlap either, and
# its $C_1$ and $C_2$ are those of $R = 1$, whatever the map.

# %% sdcda={"tolerance": {"abs": 0.01}}
one, half = torch.ones(22, 22), torch.full((22, 22), 0.5)
rows = [
    [metric.__name__.upper(), *(f"{metric(half, one, v):.2f}" for v in ("standard", "authors"))]
    for metric in (metrics.psnr, metrics.ssim)
]
display(Markdown(markdown_table(["1 against 0.5", "standard", "authors"], rows)))

# %% [markdown]
# The variants are different scales: a PSNR or SSIM that does not name its variant cannot be
# compared with any other.
#
# ## Several GPUs
#
# ```bash
# sdcda train ... --devices 4                  # four GPUs of one machine; also for evaluate and masks
#
# export MASTER_ADDR=first-machine MASTER_PORT=29500 NODE_RANK=0     # second machine: NODE_RANK=1
# sdcda train ... --devices 2 --nodes 2        # two machines with two each: the same on both
# ```
#
# The batch stays at 8 images of each domain *in all*. The processes share it, so the learning
# rate stays right and the number of steps is the same. Which images make up a batch is a function
# of seed and step, and each process takes every fourth of them:

# %%
def share(rank, processes):
    """Which source images one of the processes sees in the first step."""
    source = notebook.world().source
    crops = MINI.adaptation.source
    return Batches(source, 8, crops, seed=0, rank=rank, world_size=processes).indices(0)


print("one process:    ", *share(0, 1))
for rank in range(4):
    print(f"process {rank} of 4: ", *share(rank, 4))

# %% [markdown]
# The images of every step stay the same, and the gradient is the mean over all of
# them. Batch norm differs: it sees the images of its own process, two of each domain, not all
# sixteen, and its running means are averaged over the processes. So one GPU and four give two
# trainings that are similar, not equal. Report how many there were; the model card does.
#
# [← A Controls](A_controls.ipynb)
