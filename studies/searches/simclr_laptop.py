"""Which temperature, learning rate, batch size and projection head suit SimCLR on a laptop?

Why it matters: the papers' values are for ImageNet, thousands of pictures a batch and hundreds of epochs.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 4.2 and 5, tables 5 and B.1.
Expected: a temperature of 0.1 to 0.5 with normalised embeddings, a head with a hidden layer, batches below 512.
Cost: laptop 30 trials of at most 50 s, pruned ones of about 10 s, and 12 runs of 50 s for the winner: about 15 minutes
on two cores.
"""

import itertools

from unlabeled.platform.config import RunConfig
from unlabeled.platform.search import Choice, Constraint, LogUniform, Search
from unlabeled.studies.projection_head import STUDY as PROJECTION_HEAD


def narrows(run: RunConfig) -> bool:
    """Tell whether no layer of the head is wider than the one before it."""
    head: tuple[int, ...] = getattr(run.method, "head", ())
    return all(after <= before for before, after in itertools.pairwise(head))


SEARCH = Search(
    name="simclr-laptop",
    question="Which temperature, learning rate, batch size and projection head suit SimCLR on a laptop?",
    source="Chen et al. 2020, arXiv:2002.05709, sec. 4.2 and 5",
    expected="A temperature of 0.1 to 0.5, a head with a hidden layer, batches below 512.",
    cost="30 trials and 12 runs for the winner, about 15 minutes on two cores, at laptop scale",
    profiles={"laptop": PROJECTION_HEAD.profiles["laptop"]},
    space={
        "method.temperature": LogUniform(low=0.05, high=1.0),
        "optimizer.learning_rate": LogUniform(low=2e-4, high=2e-2),
        "batch_size": Choice(values=(64, 128, 256, 512)),
        "method.head": Choice(values=((64,), (128,), (128, 64), (256, 128), (512, 128), (128, 256))),
    },
    constraints=(Constraint(sentence="No layer of the head is wider than the one before it.", holds=narrows),),
)
