"""Zero-shot probe: pictures are classified by the names of the classes, without a label.

A class is where its name lies in the space that a method put pictures and texts into: the mean of the unit vectors of
the name in each template, scaled to length 1. A picture's class is the nearest by cosine. Radford et al. (2021),
arXiv:2103.00020, secs. 3.1.2 and 3.1.4.
"""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate.features import CHUNK, in_eval_mode
from unlabeled.platform.evaluate.probe import MethodProbe, Subject
from unlabeled.platform.method import ImageTextMethod, Method
from unlabeled.platform.metrics import Metric, scores_of

NAME_ALONE = ("{}",)


class ZeroShot(MethodProbe):
    """Nearest class name; ``top1`` is the share of pictures whose nearest name is their class's.

    Its key is ``zero-shot``, and with other templates than the name alone ``zero-shot-prompts``, so that one run can
    measure both.

    Attributes:
        templates: texts with ``{}`` where the class's name goes; a class is the mean over them.
    """

    name = "zero-shot"
    scores: ClassVar[Mapping[str, Metric]] = scores_of("zero-shot", "top1")
    asks_method: ClassVar[bool] = True
    templates: tuple[str, ...] = Field(default=NAME_ALONE, min_length=1)

    @field_validator("templates")
    @classmethod
    def _have_a_place_for_the_name(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if "{}" not in template:
                raise ValueError(f"the template {template!r} has no {{}} where the class's name goes; put it in")
        return templates

    @model_validator(mode="after")
    def _takes_no_labels(self) -> Self:
        if self.labels != 1.0:
            raise ValueError(f"labels {self.labels:g} would be ignored by zero-shot, which looks at none; leave it out")
        return self

    @property
    def key(self) -> str:
        """Its name in metrics: ``zero-shot``, or with templates ``zero-shot-prompts``."""
        return self.name if self.templates == NAME_ALONE else f"{self.name}-prompts"

    def check(self, method: Method) -> None:
        """Raise UserError where the method has no text tower."""
        if not isinstance(method, ImageTextMethod):
            raise UserError(
                f"zero-shot needs a method with a text tower, such as clip, and {type(method).__name__} has none; "
                "take it out of evaluation.final"
            )

    def measure(self, subject: Subject, splits: tuple[str, ...]) -> Mapping[str, Mapping[str, float]]:
        """Return each split's ``top1``."""
        method = subject.method
        self.check(method)
        assert isinstance(method, ImageTextMethod)
        with in_eval_mode(method), subject.processor.autocast():
            class_KD = self.embed_classes(method, subject.classes)
        found = {}
        for split in splits:
            pictures = subject.features(_Pictures(method), split)
            assert pictures.labels is not None
            nearest = torch.cat([(F.normalize(x, dim=1) @ class_KD.T).argmax(dim=1) for x, _ in pictures.blocks()])
            found[split] = {"top1": nearest.eq(pictures.labels).double().mean().item()}
        return found

    @torch.no_grad()
    def embed_classes(self, method: ImageTextMethod, classes: tuple[str, ...]) -> Tensor:
        """Return the unit vectors of the classes, [K, D], in float32."""
        of_templates = []
        for template in self.templates:
            texts = [template.replace("{}", name) for name in classes]
            chunks = [method.embed_texts(texts[start : start + CHUNK]) for start in range(0, len(texts), CHUNK)]
            of_templates.append(F.normalize(torch.cat(chunks).float(), dim=1))
        return F.normalize(torch.stack(of_templates).mean(dim=0), dim=1)


class _Pictures(nn.Module):
    """The picture's side of a method, as what features are taken from."""

    def __init__(self, method: ImageTextMethod) -> None:
        super().__init__()
        self.method = method

    def forward(self, x: Tensor) -> Tensor:
        return self.method.embed_images(x)
