"""The platform's side: its whole step, as a run takes it."""

from benchmarks.gpu import data_of
from benchmarks.peers.task import (
    BATCH,
    DECODER_DEPTH,
    DECODER_WIDTH,
    HEAD,
    QUEUE,
    RATE,
    TEMPERATURE,
    VIT,
    Task,
)
from unlabeled.methods.contrastive.moco import MoCoConfig
from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.methods.masked.mae import MAEConfig
from unlabeled.methods.parts import one_view
from unlabeled.platform.augment import ColorDrop, ColorJitter, Crop, Flip, Policy, two_views
from unlabeled.platform.config import RunConfig
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig, ViTConfig
from unlabeled.platform.method import MethodConfig
from unlabeled.platform.optim import SGD, AdamW, OptimizerConfig
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loop import Training

# lightly's SimCLR and MoCo transforms at input_size=32 without blur, as its CIFAR example has them
VIEWS = Policy(
    ops=(
        Crop(area=(0.08, 1.0)),
        Flip(),
        ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8),
        ColorDrop(p=0.2),
    )
)


def main() -> None:
    task = Task.told()
    processor = Processor.here()
    run = run_of(task)
    training = Training(run, data_of(task.pictures()), processor)
    task.serve(training.steps(), processor.precision)


def run_of(task: Task) -> RunConfig:
    """Return the run, which is longer than it is ever measured."""
    method: MethodConfig
    encoder: EncoderConfig = ConvNetConfig()
    optimizer: OptimizerConfig = SGD(learning_rate=RATE, weight_decay=5e-4)
    if task.method == "simclr":
        method = SimCLRConfig(views=two_views(VIEWS), head=HEAD, temperature=TEMPERATURE)
    elif task.method == "moco":
        method = MoCoConfig(
            views=two_views(VIEWS), head=HEAD, queue=QUEUE, temperature=TEMPERATURE, bn_groups=1, shuffle_bn=False
        )
    else:
        crop = Policy(ops=(Crop(area=(0.2, 1.0)), Flip()))
        method = MAEConfig(views=one_view(crop), decoder_width=DECODER_WIDTH, decoder_depth=DECODER_DEPTH)
        encoder = ViTConfig(**VIT, patch_px=task.patch_px)
        optimizer = AdamW(learning_rate=1.5e-4)
    return RunConfig(method=method, encoder=encoder, optimizer=optimizer, batch_size=BATCH, epochs=10_000)


if __name__ == "__main__":
    main()
