"""What a method's step costs, beside what its encoder alone would: counted, so that it is the same on every machine."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loop import Training


def relative_cost(run: RunConfig, data: Data) -> float:
    """Return the multiplications of a training step over those of its encoder on each item once, backward included.

    Two views of each image cost 2; a momentum copy, which has no backward, a third of a view. Counted are matrix
    products, convolutions and attention.

    Args:
        run: its batch may be small: what is counted grows with it on both sides, but for losses over all pairs.
        data: the run's.
    """
    processor = Processor(torch.device("cpu"), "fp32")
    training = Training(run, data, processor)
    batch = training.batch(0)
    with FlopCounterMode(display=False) as step:
        training.method.train()(batch).loss.backward()
    encoder = run.encoder.build(data.format)
    with FlopCounterMode(display=False) as alone:
        encoder(torch.rand(run.batch_size, *data.format.shape)).sum().backward()
    return float(step.get_total_flops() / alone.get_total_flops())
