"""Does a projection head help, and must it be non-linear?

Why it matters: the head is thrown away after pretraining, and yet decides how good the layer before it becomes.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 4.2 and fig. 8.
Expected: non-linear beats linear by a little, and none by far.
Cost: laptop 9 runs, about 5 minutes on two cores. Nobody has timed the other profiles.

Heads end in a linear layer, as in the paper's formula. Its code ends them in batch norm, the linear head too: that is
``method.last_batch_norm``, which the row without a head can't have.
"""

from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import SIMCLR_RUN
from unlabeled.studies.tables import Column, said

TABLE = Column("simclr_projection_head", "points", {head: {"head": head} for head in ("none", "linear", "non-linear")})

STUDY = Study(
    name="projection-head",
    question="Does a projection head help, and must it be non-linear?",
    source=said("head-non-linear-over-none")["source"],
    expected="A non-linear head beats a linear one by a little, and no head by far.",
    cost="9 runs, about 5 minutes on two cores, at laptop scale",
    profiles=SIMCLR_RUN,
    rows={
        "none": {"method.head": ()},
        "linear": {"method.head": (128,)},
        "non-linear": {"method.head": (256, 128)},
    },
    scaled={  # the hidden layer is as wide as the encoder's output
        "workstation": {"non-linear": {"method.head": (512, 128)}},
        "cluster": {"non-linear": {"method.head": (2048, 128)}},
    },
    published=(TABLE.beside(),),
    claims=(
        Claim(
            statement="A projection head beats none: a linear head is better than no head.",
            higher="linear",
            lower="none",
            **said("head-linear-over-none"),
        ),
        Claim(
            statement="A non-linear head beats none.",
            higher="non-linear",
            lower="none",
            **said("head-non-linear-over-none"),
        ),
        Claim(
            statement="A non-linear head beats a linear one.",
            higher="non-linear",
            lower="linear",
            **said("head-non-linear-over-linear"),
        ),
    ),
)
