"""The contract between the engine and a method: the engine trains any :class:`Method` and never asks which it is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import field_validator
from torch import Tensor, nn

from unlabeled.platform.augment import POLICIES, ViewPlan
from unlabeled.platform.data import Data, Format
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder, EncoderConfig, ViT
from unlabeled.platform.errors import UserError, unknown
from unlabeled.platform.settings import Variant


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """This worker's rows of the global batch, on the device.

    Attributes:
        views: one float tensor per view of the method's plan: pictures [B, C, H, W] and clips [B, T, C, H, W] in
            [0, 1], sounds [B, C, S] in [-1, 1]. An encoder standardises itself.
        index: int64 [B], which items of the data set these are.
        draws: random numbers for these rows at this step, the same however the global batch is split over workers:
            whatever a method draws in ``forward`` (masks, rotations, permutations) comes from here.
        targets: each field that the method or its plan names as a target: "class" is int64 [B], "text" a list of B
            strings. What lies in a picture or a clip has moved with the first view of that: masks uint8
            [B, (T,) H, W], where 255 is not told; boxes [B, (T,) K, 5] and points [B, (T,) K, 2] in that view's pixels,
            NaN where there are none. Other fields are as the data have them.
        to_view: float32 [B, 3, 3] per view, from the item's pixels (x, y, 1) to the view's, where pixel (0, 0) covers
            [0, 1) x [0, 1); the identity of sounds. See :mod:`unlabeled.platform.augment.geometry`.
        starts: int64 [B] per view, the first frame or sample that it shows; 0 of pictures and of what is shown whole.
        streams: the rows of each of the plan's streams that stand beside these rows, by the stream's name.
    """

    views: tuple[Tensor, ...]
    index: Tensor
    draws: Draws
    targets: Mapping[str, Any] = field(default_factory=dict)
    to_view: tuple[Tensor, ...] = ()
    starts: tuple[Tensor, ...] = ()
    streams: Mapping[str, "Batch"] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """What one training step hands back.

    Attributes:
        loss: scalar to minimise, the mean over this worker's samples.
        logs: scalars to follow, detached; keys are ``area/name`` ("contrast/top1").
    """

    loss: Tensor
    logs: Mapping[str, Tensor] = field(default_factory=dict)


class MethodConfig(Variant):
    """Hyperparameters of one method, and how to build it. A kind's ``name`` is the method's name everywhere.

    Attributes:
        paper: whose method it is: authors, year, where to find it.
        targets: fields of the data that batches must bring beside the views: "class", "text".
        num_views: how many views of an image it takes; None is any number.
    """

    paper: ClassVar[str] = ""
    targets: ClassVar[tuple[str, ...]] = ()
    num_views: ClassVar[int | None] = None

    views: ViewPlan

    @field_validator("views", mode="before")
    @classmethod
    def _views_of_a_policy_by_name(cls, views: Any) -> Any:
        """Take a published policy's name for all views by it: ``--set method.views=moco-v2``."""
        if not isinstance(views, str):
            return views
        if views not in POLICIES:
            raise ValueError(str(unknown("policy", views, POLICIES)))
        return ViewPlan(views=(POLICIES[views],) * (cls.num_views or 2))

    @property
    def plan(self) -> ViewPlan:
        """All that batches bring: the views, the targets that the method needs, and those that ``views`` names."""
        targets = tuple(dict.fromkeys((*self.targets, *self.views.targets)))
        return self.views.model_copy(update={"targets": targets})

    @property
    def field(self) -> str:
        """What the encoder is shown: the field of the first view."""
        return self.views.views[0].field

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where the method can't train on this data in a global batch shared by so many workers."""

    def make_encoder(self, config: EncoderConfig, shown: Format) -> Encoder:
        """Make the encoder that the method trains and probes read; weights come from torch's global generator.

        A method that looks at pictures in a way of its own (at lightness only, or with an encoder for each half of the
        colours) wraps the configured one, so that whoever gets pictures' features from it gets them in the same way.
        """
        return config.build(shown)

    def check_encoder(self, encoder: Encoder, image_px: int) -> None:
        """Raise UserError where the encoder can't see what the method shows it: the views, of pictures of this size."""
        for number, view in enumerate(self.views.views, start=1):
            size_px = view.output_px(image_px)
            if isinstance(encoder, ViT) and size_px % encoder.patch_px:
                raise UserError(
                    f"view {number} of method.views has {size_px} px, and the encoder's patches of {encoder.patch_px} "
                    f"px do not divide it; crop it to {size_px + -size_px % encoder.patch_px}, or set encoder.patch_px"
                )
            encoder.check_size(size_px)

    @abstractmethod
    def build(self, encoder: Encoder, data: Data) -> "Method":
        """Make the module that trains ``encoder``; weights come from torch's global generator.

        What the method must know of the data (how many classes, which colours there are) it takes from ``data`` now.
        """


class Method(nn.Module, ABC):
    """A pretext task around an encoder. Abstract; every subclass is final.

    Attributes:
        split: how a batch may be cut into micro-batches: "per-sample", the loss is a mean over samples; "cached", it
            looks at embeddings only, see :class:`EmbeddingMethod`; "whole", it may not be cut.

    A method holds no optimiser, device, data, logger, or number of workers. Rows of other workers reach it through
    :func:`unlabeled.platform.collective.gather`.
    """

    split: ClassVar[Literal["per-sample", "cached", "whole"]] = "whole"

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    @abstractmethod
    def forward(self, batch: Batch) -> StepResult:
        """Return the loss of one batch, and what to log of it."""

    def layers(self) -> Mapping[str, nn.Module]:
        """Return places behind the encoder's output that probes may read: name -> [B, C, H, W] to [B, D]."""
        return {}

    def pictures(self, images: Tensor, draws: Draws) -> Mapping[str, Mapping[str, Tensor]]:
        """Return what the method makes of some pictures, for people to look at.

        Args:
            images: float [B, C, H, W], pixels in [0, 1].
            draws: of these rows.

        Returns:
            name -> the columns of a figure, in order: title -> [B, C, h, w], pixels in [0, 1]; what lies
            outside is clipped.
        """
        return {}

    def before_step(self, progress: float) -> None:
        """Look at the gradients between backward and the optimiser's step; default: nothing.

        A parameter whose gradient is made None here stays as it is: nothing decays or counts it. ``progress`` in [0, 1)
        is the share of steps done.
        """

    def after_step(self, progress: float) -> None:
        """Follow an optimiser step; ``progress`` in (0, 1] is the share of steps done. Default: nothing."""


class ImageTextMethod(Method):
    """A method that puts pictures and texts into one space. Abstract."""

    @abstractmethod
    def embed_images(self, images: Tensor) -> Tensor:
        """Return unit vectors [B, D] of pictures [B, C, H, W] in [0, 1]."""

    @abstractmethod
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors [n, D] of n texts."""


class EmbeddingMethod(Method):
    """A method whose loss looks at embeddings and no further, so that a large batch can be cut exactly. Abstract."""

    split = "cached"

    @abstractmethod
    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return what the loss compares: tensors [B, ...], a row for each of the batch's."""

    @abstractmethod
    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return the loss of embeddings; of the batch it may use all but the views, which may be cut off."""

    def forward(self, batch: Batch) -> StepResult:
        """Return the loss of one batch, and what to log of it."""
        return self.contrast(self.embed(batch), batch)
