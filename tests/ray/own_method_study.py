"""A study of a method that stands in its own file; tests copy it into a folder of a user's."""

import os

import torch
from torch import nn

from unlabeled.methods.parts import classify, one_view
from unlabeled.platform.augment import PLAIN, ViewPlan
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.encoder import ConvNetConfig, Encoder
from unlabeled.platform.method import Batch, Method, MethodConfig, StepResult
from unlabeled.platform.study import Study


class UpConfig(MethodConfig):
    """Pictures as they are."""

    name = "way-up"
    ends_with: str = ""
    paper = "nobody"
    num_views = 1
    views: ViewPlan = one_view(PLAIN)

    def build(self, encoder: Encoder, data: Data) -> "Up":
        return Up(encoder, self.ends_with)


class Up(Method):
    cut = "per-sample"

    def __init__(self, encoder: Encoder, ends_with: str) -> None:
        super().__init__(encoder)
        self.ends_with = ends_with
        self.tell = nn.Linear(encoder.dim, 2)

    def forward(self, batch: Batch) -> StepResult:
        if self.ends_with:
            raise getattr(torch, self.ends_with)("CUDA error: device-side assert triggered")
        (view,) = batch.views
        way = batch.draws.integers("way", 2)
        logits = self.tell(self.encoder(torch.where(way.view(-1, 1, 1, 1) == 1, view.flip(2), view)))
        loss, top1 = classify(logits, way)
        return StepResult(loss=loss, logs={"way/top1": top1, "way/process": torch.tensor(float(os.getpid()))})


SMALL = RunConfig(
    method=UpConfig(),
    data=DataConfig(train_images=256),
    encoder=ConvNetConfig(width=4),
    epochs=1,
    precision="fp32",
    batch_size=64,
    evaluation=EvaluationConfig(tsne_images=0),
)
STUDY = Study(
    name="ways-up",
    question="Does it run?",
    source="here",
    expected="It does.",
    cost="seconds",
    profiles={"laptop": SMALL},
    rows={"alone": {}},
    seeds=(0,),
    also=("way/top1",),
)
