"""Which augmentations make a view, and which views a method sees: values that go into a run's settings."""

import functools
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import Tensor

from unlabeled.platform.augment.op import Op
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import UserError, unknown
from unlabeled.platform.settings import Settings


class Policy(Settings):
    """Operations in the order in which they are applied; none at all is the identity."""

    ops: tuple[Op, ...] = ()

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Augment a batch: float32 [B, C, H, W] in [0, 1], to the same, at the size that the last crop says.

        The given images are not changed; without any operation, they are what comes back.

        An operation draws by its name and by how many of its kind came before it, not by its place: a policy without
        blur crops and jitters as the policy with blur does, so that an ablation compares the two on the same views.
        """
        result = images
        before: Counter[str] = Counter()
        for op in self.ops:
            result = op(result, draws.within(before[op.name], op.name), overwrite=result is not images)
            before[op.name] += 1
        return result

    @property
    def summary(self) -> str:
        """All operations in one line: ``Crop(0.2-1) > Flip(p=0.5) > ColorDrop(p=0.2)``."""
        return " > ".join(op.summary for op in self.ops) or "identity"

    def without(self, *kinds: type[Op]) -> "Policy":
        """Return this policy less every operation of these kinds.

        Raises:
            UserError: there is none of one of these kinds, so that nothing would be removed.
        """
        for kind in kinds:
            self._check_holds(kind)
        return Policy(ops=tuple(op for op in self.ops if not isinstance(op, kinds)))

    def plus(self, *ops: Op) -> "Policy":
        """Return this policy with more operations after its own."""
        return Policy(ops=(*self.ops, *ops))

    def replacing(self, new: Op) -> "Policy":
        """Return this policy with ``new`` in the place of the operation of its kind: another crop, a weaker jitter.

        Raises:
            UserError: there is no operation of this kind.
        """
        self._check_holds(type(new))
        return Policy(ops=tuple(new if isinstance(op, type(new)) else op for op in self.ops))

    def output_px(self, image_px: int) -> int:
        """Return the side of what it makes of a square image.

        >>> from unlabeled.platform.augment import Crop, Flip
        >>> Policy(ops=(Crop(size=96), Flip())).output_px(224)
        96
        """
        return functools.reduce(lambda px, op: op.output_px(px), self.ops, image_px)

    def _check_holds(self, kind: type[Op]) -> None:
        if not any(isinstance(op, kind) for op in self.ops):
            raise unknown(
                f"operation of the policy {self.summary!r}", kind.__name__, {type(op).__name__ for op in self.ops}
            )


class View(Settings):
    """What is seen of an item: one of its fields, by a policy.

    A policy alone stands for the view of the field ``image`` by it, wherever a view is given, and such a view is
    written as its policy: in JSON and in a run's identity.

    Attributes:
        policy: what is done to it.
        field: its name in the data.
    """

    opens: ClassVar[bool] = False

    policy: Policy = Policy()
    field: str = "image"

    @model_validator(mode="before")
    @classmethod
    def _of_a_policy_alone(cls, value: Any) -> Any:
        is_policy = isinstance(value, Policy) or (isinstance(value, Mapping) and "ops" in value)
        return {"policy": value} if is_policy else value

    @model_serializer(mode="wrap")
    def _as_a_policy_alone(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        policy: dict[str, Any] = fields["policy"]
        return policy if fields == {"policy": policy, "field": "image"} else fields

    def identity(self) -> dict[str, Any]:
        """Return what tells this view from others: of one that has nothing but a policy, what tells the policy."""
        found = super().identity()
        return self.policy.identity() if found.keys() <= {"policy"} else found

    @property
    def summary(self) -> str:
        """The policy's summary, after the field where that is not the picture: ``depth: Crop(0.2-1)``."""
        return self.policy.summary if self.field == "image" else f"{self.field}: {self.policy.summary}"

    def output_px(self, image_px: int) -> int:
        """Return the side of what it makes of a square image."""
        return self.policy.output_px(image_px)


class ViewPlan(Settings):
    """What a method sees of each item, and what it is told besides.

    Asymmetric views (SimCLR's figure 5: one branch only cropped) are views by two different policies.

    Attributes:
        views: one or more; a policy is taken for the view of the picture by it.
        targets: fields that go with the views as they are, besides those that the method needs of itself.
    """

    opens: ClassVar[bool] = False

    views: Annotated[tuple[View, ...], Field(min_length=1)]
    targets: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """What its views are of: names of fields, each once."""
        return tuple(dict.fromkeys(view.field for view in self.views))

    def __call__(self, items: Mapping[str, Tensor], draws: Draws) -> tuple[Tensor, ...]:
        """Make every view of a batch, each with draws of its own.

        Args:
            items: each of :attr:`fields`: uint8 [B, C, H, W], or float32 in [0, 1]; C is 1 or 3. Never changed in
                place.
            draws: the draws of these B rows, on the items' device.

        Returns:
            For each view float32 [B, C, H, W] in [0, 1], computed in float32 under autocast too. A view whose policy is
            empty is not a copy.

        Raises:
            UserError: the items have another type or shape.
        """
        with torch.no_grad(), torch.autocast(draws.rows.device.type, enabled=False):
            pixels = {field: as_float(items[field]) for field in self.fields}
            return tuple(
                view.policy(pixels[view.field], draws.within("view", place)) for place, view in enumerate(self.views)
            )

    @property
    def summary(self) -> str:
        """The views in one line: ``2 x [Crop(0.2-1) > Flip(p=0.5)]``, or each in its own brackets; and the targets."""
        told = f" with {', '.join(self.targets)}" if self.targets else ""
        if len(set(self.views)) == 1:
            return f"{len(self.views)} x [{self.views[0].summary}]{told}"
        return " | ".join(f"[{view.summary}]" for view in self.views) + told


def two_views(policy: Policy) -> ViewPlan:
    """Plan two views by the same policy."""
    return ViewPlan(views=(policy, policy))


def as_float(images: Tensor) -> Tensor:
    """Turn uint8 [B, C, H, W] to float32 in [0, 1]; float32 stays as it is.

    Raises:
        UserError: the images have another type, or are not 1 or 3 channels of a batch.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.dtype not in (torch.uint8, torch.float32):
        raise UserError(
            f"images to augment are uint8 or float32 [B, C, H, W] with 1 or 3 channels, "
            f"got {str(images.dtype).removeprefix('torch.')} {list(images.shape)}"
        )
    return images.to(torch.float32).div_(255.0) if images.dtype == torch.uint8 else images
