"""Which contrastive loss, and do hard negatives have to be mined?

Why it matters: NT-Xent weighs negatives by their hardness by itself; the others have to look for hard ones.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 5.1 and table 4.
Expected: NT-Xent beats the logistic and the margin loss, also when these mine semi-hard negatives, which helps them.
Cost: laptop 15 runs, about 5 minutes on two cores. Nobody has timed the other profiles.
"""

from unlabeled.platform.study import Claim, Published, Study
from unlabeled.studies.bases import SIMCLR_RUN
from unlabeled.studies.tables import numbers

SOURCE = "Chen et al. 2020, arXiv:2002.05709, table 4"
CASES = {
    "margin": "Margin",
    "logistic": "NT-Logistic",
    "margin, semi-hard": "Margin (sh)",
    "logistic, semi-hard": "NT-Logistic (sh)",
    "NT-Xent": "NT-Xent",
}


def better(higher: str, lower: str, what: str, published: str) -> Claim:
    """Claim that one loss beats another."""
    return Claim(statement=what, source=SOURCE, higher=higher, lower=lower, published=published)


STUDY = Study(
    name="losses",
    question="Which contrastive loss, and do hard negatives have to be mined?",
    source=SOURCE,
    expected="NT-Xent beats the logistic and the margin loss; mining semi-hard negatives helps those two.",
    cost="15 runs, about 5 minutes on two cores, at laptop scale",
    profiles=SIMCLR_RUN,
    rows={
        "margin": {"method.loss": "margin-triplet"},
        "logistic": {"method.loss": "nt-logistic"},
        "margin, semi-hard": {"method.loss": "margin-triplet", "method.mining": "semi-hard"},
        "logistic, semi-hard": {"method.loss": "nt-logistic", "method.mining": "semi-hard"},
        "NT-Xent": {"method.loss": "nt-xent"},
    },
    published=(
        Published(
            source=SOURCE,
            setting="ImageNet, ResNet-50, batch 4096, 100 epochs, each loss at its best setting",
            quantity="linear probe top-1, %",
            rows=numbers("simclr_losses", "top1", {row: {"loss": loss} for row, loss in CASES.items()}),
        ),
    ),
    claims=(
        better("NT-Xent", "logistic, semi-hard", "NT-Xent beats the logistic loss, mined.", "63.9 against 57.9"),
        better("NT-Xent", "margin, semi-hard", "NT-Xent beats the margin loss, mined.", "63.9 against 57.5"),
        better("logistic, semi-hard", "logistic", "Mining helps the logistic loss.", "57.9 against 51.6"),
        better("margin, semi-hard", "margin", "Mining helps the margin loss.", "57.5 against 50.9"),
    ),
)
