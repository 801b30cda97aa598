"""LooC: one space of embeddings for each augmentation, which forgets all the others and keeps that one.

Xiao, Wang, Efros, Darrell (2020), "What Should Not Be Contrastive in Contrastive Learning", arXiv:2008.05659:
leave-one-out contrastive learning, on MoCo (see ``moco.py``).

To be told from other images whatever is done to it, a view has to lose what augmentations change: its colour, or which
way is up. Of n augmentations, and crops besides, an image gives a query q and keys k_0 .. k_n. All are drawn anew for
each, but k_i has what the i-th augmentation did to q. One trunk, n + 1 heads: z_i^v is view v in space i.

    loss_0 = -log E(0, 0) / (E(0, 0) + sum_queue E)          in space 0, invariant to all
    loss_i = -log E(i, i) / (sum_j E(i, j) + sum_queue E)    in space i, to all but the i-th, which tells k_i from k_j
    loss = mean of loss_0 .. loss_n,                         E(i, j) = exp(z_i^q z_i^(k_j) / tau)

The queue of space i holds z_i^(k_i) of earlier images. Probes read the trunk, or by ``layer`` "spaces" all heads'
embeddings side by side, the paper's LooC++.

Shapes: B images per worker, N on all workers, S = n + 1 spaces, K queue length, D projection width.

Differs from the paper: colours and quarter turns are left out by default, there texture too, which takes restyled
pictures; settings are those of MoCo v2, on which it builds; batch norm is grouped by settings, as in ``moco.py``. Held
against no code of the authors, as none was found.
"""

from collections.abc import Mapping
from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.contrastive.bank import retrieved
from unlabeled.methods.losses.numerics import exact_unit, in_full_precision
from unlabeled.methods.parts import SMALL, KeyQueue, MomentumCopy, check_queue, classify, projection_head, shuffled
from unlabeled.platform.augment import MOCO_V2, ColorJitter, Policy, Rotate90, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.collective.batch_norm import check_groups, group_batch_norms
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

# Of MoCo v2's crop, jitter, colour drop, blur and flip:
CROPPED, COLOR = Policy(ops=(MOCO_V2.ops[0], *MOCO_V2.ops[3:])), Policy(ops=MOCO_V2.ops[1:3])
ROTATION = Policy(ops=(Rotate90(),))


class LooCConfig(MethodConfig):
    """Defaults are MoCo v2's, with a space for colours and one for quarter turns.

    Attributes:
        views: the query's, that of k_0, and one for each augmentation: what is drawn anew for all.
        augmentations: those that a space is kept for, in the order in which they are done to each view.
        temperature: tau.
        momentum: of the key network.
        queue: K, the number of negatives in each space.
        head: widths of each space's head.
        bn_groups: batch norm sees the global batch in so many groups, between which keys are shuffled; 1 sees it whole.
    """

    name = "looc"
    paper = "Xiao et al. 2020, arXiv:2008.05659"
    cost = 1.7
    views: ViewPlan = ViewPlan(views=(CROPPED,) * 4)
    augmentations: tuple[Policy, ...] = Field(default=(COLOR, ROTATION), min_length=1)
    temperature: float = Field(default=0.2, gt=0.0)
    momentum: float = Field(default=0.999, ge=0.0, le=1.0)
    queue: int = Field(default=65_536, ge=1)
    head: tuple[int, ...] = Field(default=(2048, 128), min_length=1)
    bn_groups: int = Field(default=8, ge=1)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        color = Policy(ops=(ColorJitter.of_strength(0.5),))
        small = cls(views=ViewPlan(views=(SMALL,) * 3), augmentations=(color,), head=(32, 16), queue=150, momentum=0.97)
        turned = small.with_field("augmentations", (color, ROTATION)).with_field("views.views", (SMALL,) * 4)
        return Example(method=small, others={"turned": turned}, learning={"epochs": 12})

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where views and augmentations do not go together, or the batch overflows the queues."""
        if (views := len(self.views.views)) != (needed := len(self.augmentations) + 2):
            raise UserError(
                f"{self.name} takes {needed} views of an image for {needed - 2} augmentations: a query, a key, and one "
                f"for each; its plan has {views}; set method.views or method.augmentations"
            )
        check_queue(self.queue, batch_size)
        check_groups("method.bn_groups", self.bn_groups, batch_size, workers)

    def build(self, encoder: Encoder, data: Data) -> "LooC":
        """Make LooC around an encoder, whose batch norms it groups."""
        return LooC(self, encoder)


class Heads(nn.ModuleList):
    """A head for each space: [B, F] to unit vectors [B, S, D]."""

    def forward(self, features: Tensor) -> Tensor:
        """Project features into every space."""
        return torch.stack([exact_unit(head(features)) for head in self], dim=1)


class LooC(Method):
    """A trunk with a head for each space, its momentum copy that makes the keys, and a queue for each space."""

    def __init__(self, config: LooCConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.augmentations, self.temperature = config.augmentations, config.temperature
        spaces, self.shuffles = range(len(config.augmentations) + 1), config.bn_groups > 1
        self.heads = Heads(projection_head(encoder.dim, config.head, batch_norm=False) for _ in spaces)
        group_batch_norms(encoder, config.bn_groups)
        self.key_net = MomentumCopy(nn.Sequential(encoder, self.heads), config.momentum)
        self.queues = nn.ModuleList(KeyQueue(config.queue, config.head[-1]) for _ in spaces)

    def forward(self, batch: Batch) -> StepResult:
        """Return the mean of the spaces' losses, and how often each finds its key."""
        query, *keys = self.augmented(batch)
        q_BSD = self.heads(self.encoder(query))
        draws = [batch.draws.fold_in("key", place) if self.shuffles else None for place in range(len(keys))]
        k_BSD, k_NSD = zip(*(shuffled(self.key_net, *pair) for pair in zip(keys, draws, strict=True)), strict=True)
        right_B, losses, logs = torch.zeros_like(batch.index), [], {}
        for space in range(len(keys)):
            others = [place for place in range(len(keys)) if space not in (0, place)]
            keys_BPD = torch.stack([k_BSD[place][:, space] for place in (space, *others)], dim=1)
            queue = cast(KeyQueue, self.queues[space])
            logits = scores(q_BSD[:, space], keys_BPD, queue.keys) / self.temperature
            loss, logs[f"space_{space}/top1"] = classify(logits, right_B)
            queue.push(k_NSD[space][:, space])
            losses.append(loss)
        return StepResult(loss=torch.stack(losses).mean(), logs=logs)

    @torch.no_grad()
    def augmented(self, batch: Batch) -> list[Tensor]:
        """Augment the views: q, k_0, and k_i, for which the i-th augmentation is drawn as for q."""
        made = []
        for place, view in enumerate(batch.views):
            with torch.autocast(view.device.type, enabled=False):
                x = view.float()
                for number, policy in enumerate(self.augmentations, start=1):
                    like = 0 if place == number + 1 else place
                    x = policy(x, batch.draws.fold_in("augmentation", number, "of view", like))
            made.append(x.to(view.dtype))
        return made

    def after_step(self, progress: float) -> None:
        """Let the key network follow."""
        self.key_net.follow()

    def layers(self) -> Mapping[str, nn.Module]:
        """Return all spaces' embeddings side by side."""
        return {"spaces": nn.Sequential(self.encoder, self.heads, nn.Flatten())}

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return the query and its keys, and what is nearest to each picture in each space."""
        names = ["query", *(f"key {place}" for place in range(len(self.heads)))]
        picture, every = batch.views[0], self.heads(self.encoder(batch.views[0])).unbind(1)
        near = {f"nearest-in-space-{place}": Figure(retrieved(z_BD, picture)) for place, z_BD in enumerate(every)}
        return {"augmented": Figure(dict(zip(names, self.augmented(batch), strict=True))), **near}


@in_full_precision
def scores(query_BD: Tensor, keys_BPD: Tensor, queue_KD: Tensor) -> Tensor:
    """Return dot products with P keys of each row and with the queue: [B, P + K]."""
    earlier_KD = queue_KD.clone()  # the gradient comes when the queue has moved on
    return torch.cat([torch.einsum("bd,bpd->bp", query_BD, keys_BPD), query_BD @ earlier_KD.T], dim=1)
