"""Temporal order: tell whether three frames of a film are in order, or which of several parts of it is not.

Misra, Zitnick, Hebert (2016), "Shuffle and Learn: Unsupervised Learning using Temporal Order Verification", ECCV,
arXiv:1603.08561. Of five frames a < b < c < d < e, (b, c, d) is in order, (b, a, d) and (b, e, d) are not: so first and
last frame tell nothing. Read backwards each stays what it is. One in four is in order. What a shared network makes of
the three is put side by side, and a linear layer decides. Frames come from where the film moves.

``task="odd-one-out"`` is Fernando, Bilen, Gavves, Gould (2017), "Self-Supervised Video Representation Learning With
Odd-One-Out Networks", CVPR, arXiv:1611.06646. Of N + 1 parts of a film one is shuffled: which? A part of W frames X is
one picture, the sum of X_j - X_i over all i < j; and so the features of the parts are joined, in the place of X.

Differs from the papers: frames are drawn in proportion to how pixels change there, not by optical flow; how far they
lie apart has no bounds, and frames whose c looks like a or e are not left out. A linear layer on features side by side
only adds up what each says by itself: ``head`` gives it hidden layers. A picture of differences is brought to [0, 1],
with grey for none; probes show the encoder frames.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from unlabeled.methods.innate.frames import differences, drawn, motion, pick, with_one_shuffled
from unlabeled.methods.losses.numerics import constants
from unlabeled.methods.parts import classify, projection_head
from unlabeled.platform.augment import Crop, Flip, Policy, View, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

PLACES = 6  # of a frame, along each side: of 227 px AlexNet makes so many
FIVE, TUPLES = 5, ((1, 2, 3), (1, 0, 3), (1, 4, 3))  # of a, b, c, d, e: (b, c, d), (b, a, d), (b, e, d)
CLIP = View(field="clip", policy=Policy(ops=(Crop(area=(0.5, 1.0)), Flip())))  # the same of all frames


class TemporalOrderConfig(MethodConfig):
    """Defaults are the first paper's, but for the views.

    Attributes:
        views: one view of each film, all frames that may be drawn.
        task: whether three frames are in order, or which part is the odd one out.
        frame_features: widths of the layers that 6 x 6 places of a frame's grid go through alone (fc6 and fc7).
        head: widths of hidden layers that joined features go through.
        by_motion: draw frames by how much moves there; false draws all alike.
        parts: N + 1, of the odd-one-out task.
        part_frames: W, frames of a part.
    """

    name = "temporal-order"
    paper = "Misra et al. 2016, arXiv:1603.08561"
    cost = 3.20
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = ViewPlan(views=(CLIP,))
    task: Literal["order", "odd-one-out"] = "order"
    frame_features: tuple[int, ...] = Field(default=(4096, 4096), min_length=1)
    head: tuple[int, ...] = ()
    by_motion: bool = True
    parts: int = Field(default=6, ge=2)
    part_frames: int = Field(default=6, ge=2)

    @model_validator(mode="after")
    def _parts_are_of_the_other_task(self) -> Self:
        if self.task == "order" and (self.parts, self.part_frames) != (6, 6):
            raise ValueError("parts and part_frames are of the task odd-one-out; leave them out, or set that task")
        return self

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        order, films = cls(frame_features=(64,), head=(64,)), DataConfig(name="emoji-films", train_images=256)
        odd = cls(task="odd-one-out", parts=3, part_frames=4, frame_features=(64,), head=(64,))
        learning = {"data.train_images": 1024, "epochs": 4}
        return Example(method=odd, data=films, learning=learning, others={"three in order": order}, tells_classes=False)

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where the view is no clip, or has too few frames to draw from."""
        view, needed = self.views.views[0], FIVE if self.task == "order" else self.part_frames
        field = data.pretrain.fields[view.field]
        if field.kind != "clip":
            raise UserError(f"{self.name} needs films, and method.views is of {view.field!r}, a {field.kind}")
        if (frames := view.shape(field.shape)[0]) < needed:
            raise UserError(f"{self.name} draws {needed} of the frames of a view, and it has {frames}; show more")

    def build(self, encoder: Encoder, data: Data) -> "TemporalOrder":
        """Make the classifier around an encoder."""
        return TemporalOrder(self, encoder)


class TemporalOrder(Method):
    """An encoder that sees one frame, or one picture of differences, at a time, and a head on several."""

    cut = "per-sample"

    def __init__(self, config: TemporalOrderConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.config, self.odd = config, config.task == "odd-one-out"
        width = config.frame_features[-1]
        layers = projection_head(PLACES**2 * encoder.channels, config.frame_features)
        self.frame_layers = nn.Sequential(layers, nn.ReLU())
        joined, answers = (width, config.parts) if self.odd else (3 * width, 2)
        self.head = projection_head(joined, (*config.head, answers), batch_norm=False)

    def forward(self, batch: Batch) -> StepResult:
        """Return the cross-entropy of the answers, and how often the likeliest is right."""
        shown, answer_B = self.ask(batch.views[0], batch.draws)
        loss, top1 = classify(self.decide(shown), answer_B)
        return StepResult(loss=loss, logs={"order/top1": top1})

    def ask(self, clip: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return what is shown of clips [B, T, C, H, W], pictures [B, n, C, H, W], and the right answers, [B]."""
        weight_BT = motion(clip) if self.config.by_motion else torch.ones_like(clip[:, :, 0, 0, 0])
        if not self.odd:
            order_B3, answer_B = tuples(draws)
            return pick(clip, drawn(weight_BT, FIVE, draws, "frames").gather(1, order_B3)), answer_B
        parts, length = self.config.parts, self.config.part_frames
        answer_B = draws.integers("odd", parts)
        frames = torch.stack([drawn(weight_BT, length, draws, f"part {part}") for part in range(parts)], dim=1)
        asked = with_one_shuffled(frames, answer_B, draws).unbind(1)
        made = [0.5 + differences(pick(clip, part)) / (length * length // 2) for part in asked]
        return torch.stack(made, dim=1), answer_B

    def decide(self, shown: Tensor) -> Tensor:
        """Return logits of the answers, [B, 2] or [B, N + 1], to pictures [B, n, C, H, W]."""
        grid = F.adaptive_avg_pool2d(self.encoder.maps(shown.flatten(0, 1)).grid, PLACES)  # where things are counts
        feature = self.frame_layers(grid.flatten(1)).view(*shown.shape[:2], -1)
        return self.head(differences(feature) if self.odd else feature.flatten(1))  # type: ignore[no-any-return]

    def layers(self) -> Mapping[str, nn.Module]:
        """Return none: the head reads several frames."""
        return {}

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return what is asked of each film, and how sure the right answer is of being given: white is certain."""
        shown, answer_B = self.ask(batch.views[0], batch.draws)
        sure_B1 = self.decide(shown).float().softmax(dim=1).gather(1, answer_B[:, None])
        columns = {f"picture {n}": each for n, each in enumerate(shown.unbind(1), start=1)}
        columns["sure of what is right"] = sure_B1[..., None, None].expand(-1, 1, *shown.shape[3:])
        return {"order": Figure(columns)}


def tuples(draws: Draws) -> tuple[Tensor, Tensor]:
    """Draw which of five frames are shown, int64 [B, 3], and whether they are in order: 1 with probability 1/4."""
    kind = draws.uniform("kind") * 8  # of eight (b, c, d) has two, and each of the others three
    which = (kind >= 2).long() + (kind >= 5).long()
    order = constants(which, [place for three in TUPLES for place in three]).view(len(TUPLES), -1)[which]
    return torch.where(draws.bernoulli(0.5, "backwards")[:, None], order.flip(1), order), (which == 0).long()
