"""How much of a picture should be hidden from a masked autoencoder?

Why it matters: language models hide 15 % of the words; pictures repeat themselves, so that little hidden asks nothing.
Source: He, Chen, Xie, Li, Dollár, Girshick (2021), arXiv:2111.06377, sec. 4.1 and fig. 5.
Expected: linear probes gain steadily with the ratio until 75 %; beyond, they lose again. (The paper prints the ends of
the rising curve only, not 25 or 50 %.)
Cost: laptop 12 runs, about 6 minutes on two cores. Nobody has timed the other profiles. As in the paper's ablations,
the target is pixels that are not normalised; its ViT is the large one, the cluster's here the base one.
"""

from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import MAE_RUN, changed
from unlabeled.studies.tables import said

STEADY, SWEET_POINT = said("mask-steady"), said("mask-sweet-point")

STUDY = Study(
    name="mask-ratio",
    question="How much of a picture should be hidden from a masked autoencoder?",
    source=STEADY["source"],
    expected="Linear probes gain steadily with the ratio until 75 %, and lose beyond.",
    cost="12 runs, about 6 minutes on two cores, at laptop scale",
    profiles=changed(MAE_RUN, {"method.normalised_targets": False}),
    rows={f"{percent} % hidden": {"method.mask_ratio": percent / 100} for percent in (25, 50, 75, 90)},
    claims=(
        Claim(
            statement="Up to 75 %, hiding more is better, steadily.",
            order=("25 % hidden", "50 % hidden", "75 % hidden"),
            **STEADY,
        ),
        Claim(
            statement="Hiding 90 % is too much: 75 % beats it.",
            higher="75 % hidden",
            lower="90 % hidden",
            **SWEET_POINT,
        ),
    ),
)
