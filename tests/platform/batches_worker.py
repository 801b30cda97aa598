"""One worker of test_batches.py, run as a script: trains a method that uses streams, companions and moments.

Loaded by the test instead, :func:`trained` works alone on the whole batch. In float64, so that rounding hides nothing.
"""

import io
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from held import held, with_held
from torch import Tensor, nn

from unlabeled.platform.augment import ColorJitter, Crop, Flip, Moment, Policy, Stream, View, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.encoder import ConvNetConfig, Encoder
from unlabeled.platform.method import Batch, Method, MethodConfig, StepResult
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loaded import load_cached
from unlabeled.platform.train.loop import Training

CROPPED = Policy(ops=(Crop(size=12, area=(0.3, 1.0)), Flip(), ColorJitter()))
PLAN = ViewPlan(
    views=(
        View(policy=CROPPED),
        View(policy=CROPPED, of=1),
        View(field="clip", policy=CROPPED, time=Moment(length=2, stride=2)),
    ),
    streams={"labelled": Stream(plan=ViewPlan(views=(CROPPED,), targets=("class",)), beside=4)},
)


class BesideConfig(MethodConfig):
    """A loss of all that a batch can bring."""

    name = "test-beside"
    takes_others = True
    views: ViewPlan = PLAN

    def build(self, encoder: Encoder, data: Data) -> "Beside":
        return Beside(encoder)


class Beside(Method):
    split = cut = "per-sample"

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.head = nn.Linear(encoder.dim, 3)

    def forward(self, batch: Batch) -> StepResult:
        labelled = batch.streams["labelled"]
        own, other, film = batch.views
        shown = torch.cat((own, other, film.flatten(0, 1), labelled.views[0]))
        logits = self.head(self.encoder(shown)).split([len(own), len(other), film.shape[0] * 2, len(labelled.index)])
        told = nn.functional.cross_entropy(logits[3], labelled.targets["class"])
        apart = (logits[0] - logits[1]).square().mean() + logits[2].square().mean()
        weighed = (batch.to_view[0].double().sum(dim=(1, 2)) * logits[0].mean(dim=1)).mean()
        weighed = weighed + (labelled.draws.uniform("noise") * logits[3].mean(dim=1)).mean()
        return StepResult(loss=told + 0.1 * apart + 0.1 * weighed)


class Exact(Processor):
    """A CPU that computes in float64."""

    def layout(self, x: Tensor) -> Tensor:
        """Widen the views."""
        return x.double()


def trained(micro_batch: int | None, stop: int | None = None) -> dict[str, Tensor]:
    """Train four steps, or stop after some and go on in another process' place; return the state at the end."""
    source = held()
    whole = load_cached(DataConfig(train_images=256))
    run = RunConfig(
        method=BesideConfig(),
        encoder=ConvNetConfig(width=4),
        batch_size=24,
        epochs=2,
        micro_batch=micro_batch,
        precision="fp32",
    )
    torch.set_default_dtype(torch.float64)
    try:
        training, again = (
            Training(run, with_held(whole, source), Exact(torch.device("cpu"), "fp32")) for _ in range(2)
        )
    finally:
        torch.set_default_dtype(torch.float32)
    for step in training.steps():
        if step == stop:
            buffer = io.BytesIO()
            torch.save(training.state(), buffer)
            again.restore(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
            training = again
            break
    for _ in training.steps():
        pass
    assert training.step == 4
    return {name: value.clone() for name, value in training.method.state_dict().items()}


def main(rank: int, folder: Path, micro_batch: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2, timeout=timedelta(minutes=3)
    )
    torch.save(trained(micro_batch or None), folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
