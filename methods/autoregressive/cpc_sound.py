"""CPC on sounds: from what was heard so far, tell which of many moments comes next, and after next, and later still.

Van den Oord, Li, Vinyals (2018), "Representation Learning with Contrastive Predictive Coding", arXiv:1807.03748,
sec. 3.1: raw sound at 16 kHz, a feature z of each 10 ms by strided convolutions (the encoder ``wave``), a GRU whose
state is the context c, and 12 steps that are predicted from it. The losses are in ``prediction.py``: eq. 4, for each
step k the cross-entropy of z_t+k among all z of the batch, by the scores z^T W_k c_t (eq. 3). Probes of a whole sound
read the mean of z (the encoder's output), or that of c (the layer ``context``).

Differs from the paper: the encoder has norms of layers, of which the paper does not speak; the negatives are all other
moments of all sounds of the batch, those of the same sound among them; the losses of the steps are averaged.
"""

from typing import ClassVar

import torch
from pydantic import Field

from unlabeled.methods.autoregressive.prediction import CPC
from unlabeled.platform.augment import Moment, Policy, View, ViewPlan
from unlabeled.platform.data import Data, DataConfig, WaveFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder import Encoder, WaveConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Example, MethodConfig


def heard(samples: int | None) -> ViewPlan:
    """Plan one view of sounds: so many samples anywhere in them, or all."""
    time = None if samples is None else Moment(length=samples)
    return ViewPlan(views=(View(policy=Policy(), field="wave", time=time),))


class CPCSoundConfig(MethodConfig):
    """Defaults are the paper's.

    Attributes:
        views: one view of each sound; 20,480 samples are 1.28 s at 16 kHz.
        num_steps: K, how many moments ahead are predicted.
        context: width of the GRU's state.
    """

    name = "cpc-sound"
    paper = "van den Oord et al. 2018, arXiv:1807.03748"
    cost = 0.32
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = heard(20_480)
    num_steps: int = Field(default=12, ge=1)
    context: int = Field(default=256, ge=1)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(
            method=cls(views=heard(4_000), num_steps=3, context=32),
            encoder=WaveConfig(width=32),
            data=DataConfig(name="emoji-films", train_images=256),
            learning={"data.train_images": 1024, "optimizer.learning_rate": 1e-3, "epochs": 8},
        )

    def build(self, encoder: Encoder, data: Data) -> CPC:
        """Make CPC around an encoder of sounds; UserError where a view has too few moments to predict so many steps."""
        sounds, time = taken(data.format, WaveFormat, self.name), self.views.views[0].time
        samples = sounds.num_samples if time is None else time.length
        silence = torch.zeros(1, sounds.channels, samples, device=next(encoder.buffers()).device)
        with torch.no_grad():
            moments = encoder.maps(silence).grid.shape[2]
        if moments <= self.num_steps:
            fewer = f"method.num_steps {moments - 1} or less, or " if moments > 1 else ""
            raise UserError(
                f"method.num_steps {self.num_steps} needs {self.num_steps + 1} moments, and the encoder makes {moments}"
                f" of a view of {samples} samples; use {fewer}longer views"
            )
        return CPC(encoder, self.num_steps, self.context)
