"""Does MoCo cheat without shuffled batch norm?

Why it matters: if query and key share their batch statistics, the network can tell positives by them instead of by what
the pictures show.
Source: He, Fan, Wu, Xie, Girshick (2020), arXiv:1911.05722, sec. 3.3 and app. A.9.
Expected: without shuffling the pretext task is solved better and the features are worse.
Cost: laptop 9 runs, about 4 minutes on two cores. Nobody has timed the other profiles.

The sources judge the features by kNN; the claim here is on the linear probe, and kNN stands beside it.
"""

from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import MOCO_RUN
from unlabeled.studies.tables import said

SOURCE = "He et al. 2020, arXiv:1911.05722, sec. 3.3 and app. A.9"
PRETEXT = "contrast/top1"

STUDY = Study(
    name="shuffle-bn",
    question="Does MoCo cheat without shuffled batch norm?",
    source=SOURCE,
    expected="Without shuffling the pretext task is solved better and the features are worse.",
    cost="9 runs, about 4 minutes on two cores, at laptop scale",
    profiles=MOCO_RUN,
    rows={
        "shuffled groups": {"method.bn_groups": 8, "method.shuffle_bn": True},
        "groups, not shuffled": {"method.bn_groups": 8, "method.shuffle_bn": False},
        "the whole batch": {"method.bn_groups": 1, "method.shuffle_bn": False},
    },
    also=(PRETEXT, "test/knn/top1"),
    claims=(
        Claim(
            statement="Shuffled batch norm makes better features.",
            higher="shuffled groups",
            lower="groups, not shuffled",
            **said("shuffle-bn-features"),
        ),
        Claim(
            statement="Without shuffling, the pretext task is solved better: that is the cheating.",
            higher="groups, not shuffled",
            lower="shuffled groups",
            measure=PRETEXT,
            **said("shuffle-bn-pretext"),
        ),
    ),
)
