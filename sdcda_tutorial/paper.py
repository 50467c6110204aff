"""The paper at a glance: its symbols, its equations, its Table 1, and what it leaves open.

Nothing here computes. These are the tables that appendix B shows and that the rest of the package is named after;
tests/test_paper.py checks that every name in backticks exists and that the settings stated are those of the presets.
Names are given from the package on: `networks.FeatureExtractor` is `sdcda_tutorial.networks.FeatureExtractor`, and in
`training.AdaptationConfig(holdout)` holdout is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from sdcda_tutorial.markdown import markdown_table


@dataclass(frozen=True)
class Symbol:
    symbol: str
    meaning: str
    equations: str  # numbers of the equations it stands in, "" for none
    where: str


SYMBOLS = (
    Symbol("s, t", "as an index: source (synthetic, labelled) and target (real, unlabelled)", "1-10", "training.adapt"),
    Symbol("Xs, Xt", "the two data sets, of Ns and Nt images", "5", "datasets.CrowdDataset"),
    Symbol("x", "an image, RGB, H × W pixels", "1", "datasets.Sample.image"),
    Symbol("y", "its head positions; of the target they are never read in training", "6", "datasets.Sample.points"),
    Symbol("F(y)", "density map of y: a Gaussian of weight 1 per head; its sum: the count", "6", "density.density_map"),
    Symbol("zs", "crowd mask of the source: 1 crowd, 0 background", "7", "datasets.batches.crowd_mask"),
    Symbol("zt", "pseudo-mask of the target: background mostly right", "8, 9", "training.write_pseudo_masks"),
    Symbol("E", "feature extractor, VGG16 with batch norm", "1", "networks.FeatureExtractor"),
    Symbol("C", "density estimator", "4", "networks.DensityEstimator"),
    Symbol("S", "semantic extractor (SE), pyramid pooling", "2", "networks.SemanticExtractor"),
    Symbol("D", "feature discriminator (FD)", "3", "networks.FeatureDiscriminator"),
    Symbol("θe, θc, θs", "weights of E, C and S, trained by one optimiser", "1-10", "adaptation.Networks"),
    Symbol("θd", "weights of D, trained by an optimiser of their own", "3", "networks.FeatureDiscriminator.parameters"),
    Symbol("f", "features, E(x)", "1-4", "networks.FeatureExtractor.forward"),
    Symbol("ŷ", "predicted density map, C(f) divided by the label factor", "4, 6", "networks.CrowdCounter.forward"),
    Symbol("ẑ", "predicted probability of crowd, sigmoid of S(f)", "2, 7, 8", "networks.SemanticExtractor.forward"),
    Symbol("p", "probability of source, the sigmoid of D(f)", "3, 10", "networks.FeatureDiscriminator.forward"),
    Symbol("H(ẑ, z)", "ẑ on the background, 1 on the crowd", "8, 9", "losses.masked_prediction"),
    Symbol("λs, λt", "weights of the two mask losses, 0.01 each", "5", "losses.LossWeights"),
    Symbol("λd", "weight of the adversarial loss", "5", "losses.LossWeights.adversarial"),
    Symbol("N", "number of images: of a batch in the losses", "6, 7, 9", "training.AdaptationConfig.batch_size"),
    Symbol("h, w", "size of D's output", "10", "networks.FeatureDiscriminator"),
    Symbol("y, ŷ, N", "in Eq. 11: true count, predicted count, number of test images", "11", "metrics.count_errors"),
)  # fmt: skip


@dataclass(frozen=True)
class Equation:
    number: int
    latex: str  # the paper's formula, sums and letters as printed
    where: str
    note: str


_EQUATIONS = (
    Equation(1, r"f^s = E(x^s; \theta_e), \quad f^t = E(x^t; \theta_e)", "networks.FeatureExtractor", "one E for both"),
    Equation(2, r"\hat z^s = S(f^s; \theta_s), \quad \hat z^t = S(f^t; \theta_s)", "networks.SemanticExtractor",
        "the module gives logits; ẑ is their sigmoid"),
    Equation(3, r"p^s = D(f^s; \theta_d), \quad p^t = D(f^t; \theta_d)", "networks.FeatureDiscriminator",
        "the module gives logits; p is their sigmoid"),
    Equation(4, r"\hat y^s = C(f^s; \theta_c)", "networks.DensityEstimator",
        "training uses source features only; the target's counts come from C(fᵗ) afterwards"),
    Equation(5, r"L(X^s, X^t; \theta_e, \theta_s, \theta_c) = "
        r"L^s_{den} + \lambda^s L^s_{seg} + \lambda^t L^t_{seg} + \lambda^d L_{adv}", "losses.total_loss",
        "how much each λ weighs depends on the reductions below and on the label factor"),
    Equation(6, r"L^s_{den}(\theta_e, \theta_c) = \frac{1}{2N} \sum_{i=1}^N \lVert \hat y_i^s - F(y_i^s) \rVert^2",
        "losses.density_loss", "paper: sum over pixels, mean over images; here: mean over both, the half kept"),
    Equation(7, r"L^s_{seg}(\theta_e, \theta_s) = -\frac{1}{N} \sum_{i=1}^N "
        r"\left(z_i^s \log \hat z_i^s + (1 - z_i^s) \log(1 - \hat z_i^s)\right)",
        "losses.source_segmentation_loss", "paper: a sum over pixels is understood; here: mean over pixels and images"),
    Equation(8, r"H(\hat z^t, z^t) = \hat z^t (1 - z^t) + z^t", "losses.masked_prediction",
        "applied to each pixel; the losses do not call it: with it, Eq. 9 becomes -log(1 - ẑ) on the background"),
    Equation(9, r"L^t_{seg}(\theta_e, \theta_s) = -\frac{1}{N} \sum_{i=1}^N "
        r"\left(z_i^t \log z_i^t + (1 - z_i^t) \log(1 - z_i^t)\right)",
        "losses.target_segmentation_loss",
        "read as label z, prediction H(ẑ, z); here: mean over all pixels and images, crowd pixels count as zeros"),
    Equation(10, r"L_{adv}(\theta_e) = -\sum_{h,w} \log(p^t)", "losses.adversarial_loss",
        "paper: sum over D's output; here: mean over it and over images"),
    Equation(11, r"MAE = \frac{1}{N} \sum_{i=1}^N \lvert y_i - \hat y_i \rvert, \quad "
        r"MSE = \sqrt{\frac{1}{N} \sum_{i=1}^N \lvert y_i - \hat y_i \rvert^2}",
        "metrics.count_errors", "y and ŷ are counts here; MSE is the root of the mean square"),
)  # fmt: skip
EQUATIONS = {equation.number: equation for equation in _EQUATIONS}


@dataclass(frozen=True)
class Score:
    """One method on one data set, as Table 1 prints it. PSNR in dB; MAE and MSE in people."""

    method: str
    adaptation: bool
    dataset: str
    mae: float
    mse: float
    psnr: float
    ssim: float


TABLE_1 = (
    Score("NoAdpt [16]", False, "ShanghaiTech A", 160.0, 216.5, 19.01, 0.359),
    Score("NoAdpt [16]", False, "ShanghaiTech B", 22.8, 30.6, 24.66, 0.715),
    Score("NoAdpt [16]", False, "UCF-QNRF", 275.5, 458.5, 20.12, 0.554),
    Score("Cycle GAN [26]", True, "ShanghaiTech A", 143.3, 204.3, 19.27, 0.379),
    Score("Cycle GAN [26]", True, "ShanghaiTech B", 25.4, 39.7, 24.60, 0.763),
    Score("Cycle GAN [26]", True, "UCF-QNRF", 257.3, 400.6, 20.80, 0.480),
    Score("SE Cycle GAN [16]", True, "ShanghaiTech A", 123.4, 193.4, 18.61, 0.407),
    Score("SE Cycle GAN [16]", True, "ShanghaiTech B", 19.9, 28.3, 24.78, 0.765),
    Score("SE Cycle GAN [16]", True, "UCF-QNRF", 230.4, 384.5, 21.03, 0.660),
    Score("NoAdpt (ours)", False, "ShanghaiTech A", 190.8, 298.1, 20.57, 0.457),
    Score("NoAdpt (ours)", False, "ShanghaiTech B", 24.6, 33.7, 24.14, 0.687),
    Score("NoAdpt (ours)", False, "UCF-QNRF", 296.1, 467.9, 20.46, 0.513),
    Score("SE+FD", True, "ShanghaiTech A", 129.3, 187.6, 21.58, 0.513),
    Score("SE+FD", True, "ShanghaiTech B", 16.9, 24.7, 26.20, 0.818),
    Score("SE+FD", True, "UCF-QNRF", 221.2, 390.2, 23.10, 0.708),
)


@dataclass(frozen=True)
class Slip:
    """A sentence of the paper to read with care, beside what its own numbers say."""

    says: str
    figures: str


SLIPS = (
    Slip(
        "“our proposed method achieves state-of-the-art performance”",
        "10 of the 12 cells of Table 1. SE Cycle GAN has the lower MAE on ShanghaiTech A (123.4, SE+FD 129.3) and the "
        "lower MSE on UCF-QNRF (384.5, SE+FD 390.2).",
    ),
    Slip(
        "“For the Shanghai B and UCS-QNRF datasets, both are the congested datasets”",
        "UCF-QNRF is, B is not: by the paper's own account an image of A has 501 people on average, one of B about "
        "123. So A may be meant, though there SE Cycle GAN has the lower MAE.",
    ),
    Slip(
        "MAE and MSE on ShanghaiTech B “dropped by 31.3% and 26.7%”",
        "True, and measured from the paper's own counter without adaptation (24.6 and 33.7). From the better NoAdpt of "
        "[16] (22.8 and 30.6) the drops are 25.9% and 19.3%.",
    ),
)


@dataclass(frozen=True)
class Choice:
    """One point that the paper leaves open, and how it is settled here. "mini" is the mini preset."""

    point: str
    paper: str
    others: str  # the authors' later code (repository taohan10200/NLT) or the work that the paper builds on
    ours: str
    switch: str


LEDGER = (
    Choice("Gaussian of F(y), Eq. 6", "“gaussian kernel function of [4]”",
        "15×15 pixels, σ 4; at the border a smaller one, centred in what is left of the window (C³ framework)",
        "15×15 pixels, σ 4; at the border centred on the head and scaled up to sum to 1; rendered after the crop; "
        "mini: σ 2",
        "`training.AdaptationConfig(kernel)` = `datasets.batches.DensityKernel(kernel, sigma, kernel_size)`; "
        'kernel "adaptive" follows the distance to the neighbours'),
    Choice("where E ends", "VGG16 “with batch normalization”, no layer named",
        "after the batch norm of conv5_3, before its ReLU; stride 16",
        "conv5_3 with its ReLU, 512 channels, stride 16; mini: conv4_3, 128 channels, stride 8",
        "`training.AdaptationConfig(stride, width)`; the ReLU stays"),
    Choice("what E starts from", "“pre-trained VGG16”, and no stage before Eq. 5",
        "the later model file has the loading of VGG weights commented out",
        "ImageNet weights, all losses from the first step; mini: random weights and 700 source-only steps before the "
        "adaptation, a warm start that the paper does not have; photos: 2000 such steps with Eq. 7",
        "`training.AdaptationConfig(pretrained)`, `experiments.presets.Preset(warm_start)`, `training.adapt(init)`"),
    Choice("kernels of C", "“each convolution 3×3 layer is followed by a up-sample layer”",
        "1×1, 9×9, 7×7, 5×5, each with a bilinear ×2, then 3×3 and 1×1; batch norm and ReLU",
        "3×3 with batch norm and ReLU, each with a bilinear ×2, to the full resolution; 1×1 and ReLU give the map",
        '`training.AdaptationConfig(counter)` = "authors"'),
    Choice("SFCN of “NoAdpt [16]”", "only that its own, “a simpler crowd counter”, is “not as good as the SFCN”",
        "[16], VGG form: VGG16 to conv4_3 without batch norm, six dilated convolutions, the spatial encoder, 1×1, ×8",
        "the same behind our E at stride 8, so with batch norm: in mini and photos the two counters differ in C alone, "
        "in paper ours has stride 16; mini: at a rate of at most 5e-4, because at 2e-3 it learned to predict zeros",
        '`training.AdaptationConfig(counter, stride)` = "sfcn", 8; `experiments.presets.Preset.counter(name)`'),
    Choice("Cycle GAN, SE Cycle GAN", "two rows of Table 1; “adopt image style transfer”",
        "CycleGAN: least squares, 9 residual blocks, cycle 10, identity 0.5, pool of 50, Adam 2e-4 (0.5, 0.999). SE: "
        "1 - SSIM of image and cycle besides; we remember its weight as 1 and could not confirm it",
        "the same; the counter, ours or SFCN, learns from the translated source with no λ; mini: 6 blocks at a quarter "
        "of the width, 4000 steps",
        "`rivals.translation.TranslationConfig(weights, blocks, width, pool, learning_rate, steps)`, "
        "`experiments.presets.Preset(translation)`"),
    Choice("S", "“slightly modifying the pyramid module of PSPNet”, four scales",
        "bins 1, 2, 4, 6 and no ReLU; PSPNet: 1, 2, 3, 6 with ReLU", "PSPNet's bins and ReLU",
        "`networks.SemanticExtractor(bins)`; `training.adapt` builds it with the default"),
    Choice("D", "“4 convolution layers with kernel 4×4 and stride of 2”, “similar to [24]”",
        "AdaptSegNet: 64-128-256-512 channels, LeakyReLU 0.2, and a fifth convolution to 1 channel",
        "exactly four, 64-128-256-1 channels: a 480×640 crop ends as 1×2 logits; mini: 16-32-64-1",
        "`training.AdaptationConfig(discriminator_width)`; the number of layers is fixed"),
    Choice("label of D", "source 1, target 0; E turns 0 into 1", "AdaptSegNet: source 0, target 1", "the paper's",
        "not switchable; swapping both labels changes nothing but names"),
    Choice("training of D", "“first train a discriminator D”, “then update the E”; no optimiser named",
        "AdaptSegNet: one step of each per batch; D on detached inputs, Adam 1e-4 (0.9, 0.99), half the loss each",
        "the same: E, C, S first, then D on the same batch's detached features; rate 1e-4, mini 2.5e-4, E's schedule",
        "`training.AdaptationConfig(discriminator_rate)`; order and betas are fixed"),
    Choice("λd", "“chosen empirically”", "AdaptSegNet: 0.001 on its main output, 0.0002 on the auxiliary one",
        "0.001 in paper and mini, 1e-5 in photos; mini: the best of five from 1e-6 to 3e-3 on development seeds, with "
        "the target's labels in view; no better than λd = 0 there",
        "`losses.LossWeights(adversarial)` in `training.AdaptationConfig(weights)`"),
    Choice("label factor", "not said", "C³ framework: density × 100, for GCC × 1000",
        "× 100, mini × 10, undone in every count; it enters Eq. 6 squared, so it also decides how much each λ weighs",
        "`training.AdaptationConfig(label_factor)`"),
    Choice("reductions in Eq. 6, 7, 9, 10",
        "sums over pixels (understood in Eq. 7 and 9), 1/N over images; no 1/N in Eq. 10", "means (nn.MSELoss)",
        "means over pixels and images. Eq. 6, 7 and 9 keep the paper's ratio (at equal label factor); Eq. 10 does not: "
        "at equal λd it weighs HW / hw times more beside them than the sum, 153,600 for a 480×640 crop",
        "not switchable; choose λd to make up for the difference"),
    Choice("reading of Eq. 8-9", "“let zt = H(ẑt, zt)” uses the letter zt twice", "–",
        "label zt, prediction H(ẑt, zt): -log(1 - ẑt) on the background, exactly 0 on the crowd",
        "`training.AdaptationConfig(target_loss)`; the other reading is `losses.target_entropy_loss`"),
    Choice("what D sees", "the features f", "AdaptSegNet: the predicted segmentation",
        "f", "`training.AdaptationConfig(discriminator_sees)`: mask or density instead"),
    Choice("length and schedule", "Adam at 1e-5, batch 8; no more",
        "C³ framework: 200 epochs, rate × 0.995 per epoch, weight decay 1e-4",
        "C³'s, epochs over the source; mini: 300 steps after the warm start, rate falling to 0, no decay",
        "`training.AdaptationConfig(steps, epochs, batch_size, learning_rate, schedule, weight_decay)`"),
    Choice("batch norm over two domains", "not said", "AdaptSegNet: source and target go through the network apart",
        "both in one pass through E and S, so their statistics mix; C sees the source only",
        "not switchable to two passes; `training.AdaptationConfig(target_batch_norm)` gives the baseline the mix too"),
    Choice("choice of the model", "not said", "C³ framework: the epoch best on the test set",
        "lowest MAE on a random tenth of the source, kept out of training; looked at every 500 steps (mini: more often)"
        " of the second half; target labels never choose; mini, photos: of a running mean of the weights, decay 0.98",
        "`training.AdaptationConfig(holdout, validate_every, average)`; holdout 0 keeps the last step"),
    Choice("mask model for zt", "trained on CrowdHuman; “it would not be elaborated here”", "–",
        "E + S, Eq. 7 on visible boxes as rectangles (boxes marked ignore are crowd too), images shrunk at random; "
        "crowd above 0.3, grown by 2 pixels",
        "`training.SegmenterConfig(steps, augmentation, threshold, dilate)`"),
    Choice("Scene Regularization of GCC", "“adopted the Scene Regularization [16] to select the images”; no rules",
        "for each target bounds on level, hour, weather, count and filling",
        "the same bounds where a rule is named (A's are in that code, switched off in favour of UCF-QNRF's); without a "
        "rule all images but one that is black",
        '`datasets.GCC(rule)` = "shb", "sha" or "qnrf"; `cli.train.train(scenes)` on the command line'),
    Choice("size and look of images", "random crops of 480×640",
        "C³ framework: every set resized its own way, flips, each set's mean and deviation; NLT: GCC's for all",
        "stored size, UCF-QNRF within 1024 pixels (enlarged where a crop does not fit), flips, ImageNet's mean and "
        "deviation inside E; mini: smaller crops, colour jitter on the source",
        "`datasets.CrowdDataset(size, max_side)`, `datasets.batches.Augmentation(crop, scale, jitter)`; "
        "the normalisation is fixed"),
    Choice("points outside the image, true count", "“ground truth counting value”",
        "CSRNet drops them, DM-Count masks them, C³ clamps them; C³ counts the true map's sum",
        "dropped when read, their number kept; the true count is the number of points inside",
        "not switchable"),
    Choice("where in its pixel a head lies", "y is a label for each pixel", "–",
        "GCC's integer (row, column) + 0.5, the centre; ShanghaiTech's (x, y) as stored", "not switchable"),
    Choice("PSNR and SSIM", "named, not defined",
        "PSNR: both maps scaled to their own maximum; SSIM: sums over separate 11×11 blocks",
        "standard ones, range = maximum of the true map; images without people are left out of the mean",
        '`evaluation.evaluate(variant)` = "authors"'),
)  # fmt: skip

# Heading and format of the fields whose name or value is not what a table should show.
_COLUMNS = {
    "latex": ("formula", "${}$"), "where": ("where", "`{}`"), "mae": ("MAE", "{:.1f}"), "mse": ("MSE", "{:.1f}"),
    "psnr": ("PSNR", "{:.2f}"), "ssim": ("SSIM", "{:.3f}"), "says": ("the paper says", "{}"),
    "figures": ("its own numbers say", "{}"), "point": ("open point", "{}"), "paper": ("the paper", "{}"),
    "others": ("later code, cited work", "{}"), "ours": ("here", "{}"), "switch": ("how to switch", "{}"),
}  # fmt: skip


def as_markdown(records: Iterable[Any]) -> str:
    """A Markdown table of any of the records above: `as_markdown(LEDGER)`, `as_markdown(EQUATIONS.values())`."""
    records = list(records)
    columns = {field.name: _COLUMNS.get(field.name, (field.name, "{}")) for field in fields(records[0])}
    values = [[getattr(record, name) for name in columns] for record in records]
    texts = [[("no", "yes")[value] if isinstance(value, bool) else value for value in row] for row in values]
    headings, forms = zip(*columns.values(), strict=True)
    return markdown_table(headings, [list(map(str.format, forms, row)) for row in texts], aligned=False)
