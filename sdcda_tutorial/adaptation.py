"""One training step of the paper: what E, C, S and D learn from a batch of either domain, Eq. 5.

Micro-batches, devices, several processes and the running mean of the weights are handled outside, by a subclass that
overrides `minimise` and `fixed` (`training.counter_training`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sdcda_tutorial import losses
from sdcda_tutorial.networks import CrowdCounter, SemanticExtractor

# float32: image (B, 3, H, W) in [0, 1]; density (B, 1, H, W) in people per pixel, of the source; mask (B, 1, H, W) of 0
# and 1, of the source where λs > 0 and of the target where λt > 0.
Batch = dict[str, Tensor]


class Networks(nn.Module):
    """E, C and, where a λ asks for it, S: one module with one forward pass, which several processes can wrap.

    Args:
        counter: E and C.
        S: None where neither λs nor λt is above zero.
        D_sees: what the discriminator looks at: "features" as in the paper, or "mask" or "density" as a control.
    """

    def __init__(self, counter: CrowdCounter, S: SemanticExtractor | None = None, D_sees: str = "features") -> None:
        super().__init__()
        self.counter, self.S, self.D_sees = counter, S, D_sees

    def forward(self, xs: Tensor, xt: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
        """The source density times the label factor; the mask logits of both domains or None; and what D looks at.

        Shapes: (B, 1, H, W); (2B, 1, H, W); f, (2B, C, h, w). B instead of 2B where xt is None.
        """
        # Both domains in one pass: batch norm averages over both, and the deployed counter keeps those averages.
        f = self.counter.E(xs if xt is None else torch.cat([xs, xt]))  # (2B, C, h, w)
        density = self.counter.C(f if self.D_sees == "density" else f[: len(xs)])  # (B, 1, H, W)
        mask_logits = None if self.S is None else self.S(f)  # (2B, 1, H, W)
        seen = {"features": f, "density": density, "mask": mask_logits}[self.D_sees]
        return density[: len(xs)], mask_logits, seen.float().sigmoid() if self.D_sees == "mask" else seen


class Adaptation:
    """The networks, their optimisers, and one training step.

    A λ of zero switches its part off, so no adaptation, SE, FD and SE+FD are one step with different weights.

    Args:
        networks: E, C and S.
        D: the discriminator, or None where λd = 0.
        optimizers: "networks" for E, C and S together; "D".
        weights: λs, λt, λd.
        label_factor: F(y) is multiplied by it, see `CrowdCounter`.
        target_loss: Eq. 8-9, or another reading of them.
    Raises:
        ValueError: a λ is above zero and its network is missing, or there is a D that no λ asks for.
    """

    def __init__(
        self,
        networks: Networks,
        D: nn.Module | None,
        optimizers: Mapping[str, Any],
        weights: losses.LossWeights,
        label_factor: float,
        target_loss: Callable[..., Tensor] = losses.target_segmentation_loss,
    ) -> None:
        if weights.needs_D != (D is not None) or (weights.needs_S and networks.S is None):
            raise ValueError("S belongs to λs or λt above zero, and D to λd above zero, and to no other weights")
        self.networks, self.D, self.optimizers = networks, D, optimizers
        self.weights, self.label_factor, self.target_loss = weights, label_factor, target_loss

    def step(self, source: Batch, target: Batch | None) -> dict[str, Tensor]:
        """Learn from a source batch (xs, F(ys), zs) and a target batch (xt, zt), or None if λt = λd = 0.

        1. features fs, ft = E(xs), E(xt), and from them ŷs = C(fs), ẑs = S(fs), ẑt = S(ft);      Eq. 1, 2, 4
        2. ŷs against F(ys);                                                                      Eq. 6
        3. ẑs against zs;                                                                         Eq. 7
        4. ẑt against the background of zt;                                                       Eq. 8-9
        5. D(ft) should say "source";                                                             Eq. 3, 10
        6. the weighted sum moves E, C and S;                                                     Eq. 5
        7. D learns to tell detached fs (1) from detached ft (0).                    the sentence before Eq. 10

        Returns: the terms that are switched on, unweighted scalars: density, seg_source, seg_target, adversarial,
        discriminator; and D_accuracy, over D's output pixels.
        """
        λ, B = self.weights, len(source["image"])
        assert target is not None or not λ.needs_target, "λt or λd above zero needs a target batch"
        xt, zt = (None, None) if target is None else (target["image"], target.get("mask"))
        density, mask_logits, f = self.networks(source["image"], xt)  # (B, 1, H, W), (2B, 1, H, W), (2B, C, h, w)
        terms = {"density": losses.density_loss(density, source["density"] * self.label_factor)}
        if λ.seg_source > 0:
            terms["seg_source"] = losses.source_segmentation_loss(mask_logits[:B], source["mask"])
        if λ.seg_target > 0:
            terms["seg_target"] = self.target_loss(mask_logits[B:], zt)
        if self.D is not None:
            with self.fixed(self.D):
                terms["adversarial"] = losses.adversarial_loss(self.D(f[B:]))
        self.minimise("networks", losses.total_loss(weights=λ, **terms), terms)
        if self.D is not None:
            source_logits, target_logits = self.D(f.detach()).tensor_split([B])  # (B, 1, h / 16, w / 16) each
            loss = losses.discriminator_loss(source_logits, target_logits)
            self.minimise("D", loss, {"discriminator": loss})
            right = (source_logits > 0).float().mean() + (target_logits < 0).float().mean()
            terms |= {"discriminator": loss, "D_accuracy": right / 2}
        return {name: term.detach() for name, term in terms.items()}

    @contextmanager
    def fixed(self, network: nn.Module) -> Iterator[None]:
        """Let gradients pass through a network to its input, and compute none for its weights."""
        free = nn.ParameterList(weight for weight in network.parameters() if weight.requires_grad)  # others stay so
        free.requires_grad_(False)
        try:
            yield
        finally:
            free.requires_grad_(True)

    def minimise(self, name: str, loss: Tensor, terms: Mapping[str, Tensor]) -> None:
        """Move the weights of `optimizers[name]` against the gradient of `loss`; `terms` are its parts, unweighted."""
        self.optimizers[name].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers[name].step()
