"""Which contrastive loss, and do hard negatives have to be mined?

Why it matters: NT-Xent weighs negatives by their hardness by itself; the others have to look for hard ones.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 5.1 and table 4.
Expected: NT-Xent beats the logistic and the margin loss, also when these mine semi-hard negatives, which helps them.
Cost: laptop 15 runs, about 5 minutes on two cores. Nobody has timed the other profiles.

The paper tunes the learning rate of each loss, the margin and the logistic loss's temperature, and takes negatives from
one view (app. B.10). Here all losses share one setting, the margin is the default, and negatives come from both views.
"""

from unlabeled.platform.study import Study
from unlabeled.studies.bases import SIMCLR_RUN
from unlabeled.studies.tables import Column

CASES = {
    "margin": "Margin",
    "logistic": "NT-Logistic",
    "margin, semi-hard": "Margin (sh)",
    "logistic, semi-hard": "NT-Logistic (sh)",
    "NT-Xent": "NT-Xent",
}
TABLE = Column("simclr_losses", "top1", {row: {"loss": loss} for row, loss in CASES.items()})

STUDY = Study(
    name="losses",
    question="Which contrastive loss, and do hard negatives have to be mined?",
    source=TABLE.source,
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
    published=(TABLE.beside(note="here all losses share one setting"),),
    claims=(
        TABLE.claim("NT-Xent beats the logistic loss, mined.", "NT-Xent", "logistic, semi-hard"),
        TABLE.claim("NT-Xent beats the margin loss, mined.", "NT-Xent", "margin, semi-hard"),
        TABLE.claim("Mining helps the logistic loss.", "logistic, semi-hard", "logistic"),
        TABLE.claim("Mining helps the margin loss.", "margin, semi-hard", "margin"),
    ),
)
