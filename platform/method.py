"""The contract between the engine and a method: the engine trains any :class:`Method` and never asks which it is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import field_validator
from torch import Tensor, nn

from unlabeled.platform.augment import POLICIES, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data, DataConfig, Format
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, Encoder, EncoderConfig, ViT
from unlabeled.platform.errors import UserError, unknown
from unlabeled.platform.optim import Group
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
        to_view: float32 [B, 3, 3] per view, from the item's pixels (x, y, 1), the same for all views of it, to the
            view's; (0, 0) covers [0, 1) x [0, 1). The identity of sounds. See
            :mod:`unlabeled.platform.augment.geometry`.
        starts: int64 [B] per view, the first frame or sample that it shows; 0 of pictures and of what is shown whole.
        streams: the rows of each of the plan's streams that stand beside these rows, by the stream's name.
        progress: in [0, 1), the share of the run's steps that were done before this one: what a schedule goes by.
    """

    views: tuple[Tensor, ...]
    index: Tensor
    draws: Draws
    targets: Mapping[str, Any] = field(default_factory=dict)
    to_view: tuple[Tensor, ...] = ()
    starts: tuple[Tensor, ...] = ()
    streams: Mapping[str, "Batch"] = field(default_factory=dict)
    progress: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """What one training step hands back.

    Attributes:
        loss: scalar to minimise, the mean over this worker's samples.
        logs: scalars to follow, detached; keys are ``area/name`` ("contrast/top1").
    """

    loss: Tensor
    logs: Mapping[str, Tensor] = field(default_factory=dict)


class Survey(ABC):
    """All pretraining items, for a method to look at between epochs.

    Attributes:
        draws: random numbers of each item, in the order of their index, and of this epoch: the same on all workers.
    """

    draws: Draws

    @abstractmethod
    def features(self, module: nn.Module) -> Tensor:
        """Return what a module makes of every item, float32 [N, D] on the device, in the order of ``Batch.index``.

        Items are shown as probes see them: whole, clean, pixels in [0, 1], clips frame by frame. Workers share the
        work, and all get the same numbers, whatever their number: so all have to ask. The module, [B, C, H, W] to
        [B, D], runs in eval mode, without gradient, and is left as it was.

        Raises:
            NotFiniteError: a feature is NaN or infinite, which ends the run.
        """


_SMALL_ENCODER = ConvNetConfig(width=8)
_FEW_ITEMS = DataConfig(name="fashion-mnist-12k", train_images=256)


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A small run of a method, of seconds on a CPU: contract suites train it, and costs are counted of it.

    Attributes:
        method: with small views and widths.
        encoder: what it trains.
        data: what of; whoever takes more or fewer items than ``train_images`` says so.
        batch_size: the global batch.
        learning: fields of a run by dotted path, such as "epochs", where the suite's (2,048 items, five epochs, AdamW
            at 5e-3) show too little of what the method learns.
        others: further settings of the method that workers have to agree on, each by what is particular about it.
        decays: parameters that weight decay is meant for, though they are no layer's weight.
        tells_classes: whether it learns what tells an item's class from another's, so that kNN has to rise.
        adversarial: whether its parts play against each other, so that the loss need not fall.
    """

    method: "MethodConfig"
    encoder: EncoderConfig = _SMALL_ENCODER
    data: DataConfig = _FEW_ITEMS
    batch_size: int = 64
    learning: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, "MethodConfig"] = field(default_factory=dict)
    decays: tuple[str, ...] = ()
    tells_classes: bool = True
    adversarial: bool = False


class MethodConfig(Variant):
    """Hyperparameters of one method, and how to build it. A kind's ``name`` is the method's name everywhere.

    Attributes:
        paper: whose method it is: authors, year, where to find it.
        cost: of a training step of the example, over that of its encoder on each item once; what the contract suite
            counts, to two digits. None is not counted yet.
        targets: fields of the data that batches must bring beside the views: "class", "text".
        num_views: how many views of an image it takes; None is any number.
        one_size: which of the views the encoder sees at once, so that they have to be of one size.
        takes_others: whether its views may be of other items, which are drawn for each.
    """

    paper: ClassVar[str] = ""
    cost: ClassVar[float | None] = None
    targets: ClassVar[tuple[str, ...]] = ()
    num_views: ClassVar[int | None] = None
    one_size: ClassVar[slice] = slice(0)
    takes_others: ClassVar[bool] = False

    views: ViewPlan

    @field_validator("views", mode="before")
    @classmethod
    def _views_of_a_policy_by_name(cls, views: Any) -> Any:
        """Take a published policy's name for all views by it: ``--set method.views=moco-v2``."""
        if not isinstance(views, str):
            return views
        if views not in POLICIES:
            raise ValueError(str(unknown("policy", views, POLICIES)))
        return cls.planned(POLICIES[views])

    @classmethod
    def planned(cls, policy: Policy) -> ViewPlan:
        """Return the plan whose views are all by one policy; by default as many of the picture as it takes, or two."""
        return ViewPlan(views=(policy,) * (cls.num_views or 2))

    @property
    def field(self) -> str:
        """What of an item encoders are shown, in training and by probes: the field of the first view."""
        return self.views.views[0].field

    @property
    def plan(self) -> ViewPlan:
        """All that batches bring: the views, the targets that the method needs, and those that ``views`` names."""
        targets = tuple(dict.fromkeys((*self.targets, *self.views.targets)))
        return self.views.model_copy(update={"targets": targets})

    @classmethod
    def example(cls) -> Example:
        """Return a small run of the method, which every contract is tried on; by default its own settings."""
        return Example(method=cls.checked())

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
        cut: how a batch may be cut into micro-batches: "per-sample", the loss is a mean over samples; "cached", it
            looks at embeddings only, see :class:`EmbeddingMethod`; "whole", it may not be cut.

    A method holds no optimiser, device, data, logger, or number of workers. Rows of other workers reach it through
    :func:`unlabeled.platform.collective.gather`.
    """

    cut: ClassVar[Literal["per-sample", "cached", "whole"]] = "whole"

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    @abstractmethod
    def forward(self, batch: Batch) -> StepResult:
        """Return the loss of one batch, and what to log of it."""

    def layers(self) -> Mapping[str, nn.Module]:
        """Return what else probes may read: name -> [B, C, H, W] to [B, D]; by default ``self.head`` on the encoder."""
        head = getattr(self, "head", None)
        return {"head": nn.Sequential(self.encoder, head)} if isinstance(head, nn.Module) else {}

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return what the method makes of a few test items, for people to look at, by the figures' file names.

        It runs in eval mode, without gradient. The helpers are in ``augment/figure.py``.

        Args:
            batch: of test items: its views are those of the plan, but by no policy, so they are whole and clean; with
                the targets and draws of these rows.
        """
        return {}

    def encoders(self) -> Mapping[str, Encoder]:
        """Return every encoder that it trains, by name; "" is the one that is kept, measured and handed on."""
        return {"": self.encoder}

    def groups(self) -> Sequence[Group]:
        """Return parameters that train at a rate of their own, or without decay; the rest, by default all, as usual.

        A discriminator ten times as fast as its generator: ``[Group(self.discriminator.parameters(), rate=10.0)]``.
        """
        return ()

    def before_epoch(self, epoch: int, survey: Survey) -> None:
        """Look at all items before the 0-based ``epoch``, without gradient; default: nothing.

        What it sets has to be in its parameters and buffers: a run that resumes within an epoch has those of its
        checkpoint, and does not come here again. Chance comes from ``survey.draws``.
        """

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

    cut = "cached"

    @abstractmethod
    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return what the loss compares: tensors [B, ...], a row for each of the batch's.

        What a momentum copy makes is among them, and :meth:`contrast` takes it for given, by ``detach``.
        """

    @abstractmethod
    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return the loss of embeddings; of the batch it may use all but the views, which may be cut off."""

    def forward(self, batch: Batch) -> StepResult:
        """Return the loss of one batch, and what to log of it."""
        return self.contrast(self.embed(batch), batch)
