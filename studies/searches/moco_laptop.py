"""Which momentum, temperature, queue and batch size suit MoCo on a laptop?

Why it matters: the papers' values are for a million pictures and a million steps; here are five thousand and some
hundred.
Source: He, Fan, Wu, Xie, Girshick (2020), arXiv:1911.05722, sec. 4.1, fig. 3 (queues of 256 to 65,536) and the table of
momentum (0 to 0.9999); Chen, Fan, Girshick, He (2020), arXiv:2003.04297, table of temperature (0.07 to 0.5).
Expected: a momentum below the papers', that forgets within the run; a temperature of 0.1 to 0.3; a queue of many steps,
for the longer it was the better; of the batch the papers say nothing.
Cost: laptop 30 trials of at most 50 s, pruned ones of about 10 s, and 12 runs of 50 s for the winner: about 15 minutes
on two cores, as ``simclr-laptop``; nobody has timed it.

A queue of 65,536 held one in twenty of ImageNet's pictures; of these it would hold each thirteen times. Momentum takes
values as in the study ``momentum``: from one that forgets in two steps to one that forgets in a whole run.
"""

from unlabeled.platform.config import RunConfig
from unlabeled.platform.search import Choice, Constraint, LogUniform, Search
from unlabeled.studies.bases import MOCO_RUN


def holds_a_step(run: RunConfig) -> bool:
    """Tell whether the queue is as long as the keys of one step, two a picture where the loss is symmetric."""
    queue, both = getattr(run.method, "queue", 0), getattr(run.method, "symmetric", False)
    return bool(queue >= run.batch_size * (1 + both))


SEARCH = Search(
    name="moco-laptop",
    question="Which momentum, temperature, queue and batch size suit MoCo on a laptop?",
    source="He et al. 2020, arXiv:1911.05722, sec. 4.1; Chen et al. 2020, arXiv:2003.04297",
    expected="A momentum below the papers', a temperature of 0.1 to 0.3, a queue of many steps.",
    cost="30 trials and 12 runs for the winner, about 15 minutes on two cores, at laptop scale",
    profiles={"laptop": MOCO_RUN["laptop"]},
    space={
        "method.momentum": Choice(values=(0.5, 0.8, 0.9, 0.95, 0.97, 0.99, 0.995)),
        "method.temperature": LogUniform(low=0.05, high=0.5),
        "method.queue": Choice(values=(256, 512, 1024, 2048, 4096)),
        "batch_size": Choice(values=(64, 128, 256, 512)),
    },
    constraints=(Constraint(sentence="The queue is as long as the keys of one step.", holds=holds_a_step),),
)
