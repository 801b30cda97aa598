"""How many negatives does MoCo's queue need?

Why it matters: the queue is what frees the number of negatives from the batch.
Source: He, Fan, Wu, Xie, Girshick (2020), arXiv:1911.05722, sec. 4.1 and fig. 3.
Expected: more negatives are better, with less and less to gain.
Cost: laptop 15 runs, about 7 minutes on two cores. Nobody has timed the other profiles.

The paper's longest queue holds a twentieth of its pictures. The laptop's longest has more keys than there are pictures
(8,192 and 5,000), so some are of the query's own picture: negatives that should not be. The workstation ends at 4,096
keys, where the authors' CIFAR-10 notebook finds accuracy saturated.
"""

from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import MOCO_RUN
from unlabeled.studies.tables import said

MORE_IS_BETTER = said("queue")
WORKSTATION, CLUSTER = (256, 512, 1024, 2048, 4096), (256, 1024, 4096, 16_384, 65_536)

STUDY = Study(
    name="queue-size",
    question="How many negatives does MoCo's queue need?",
    source=MORE_IS_BETTER["source"],
    expected="More negatives are better, with less and less to gain.",
    cost="15 runs, about 7 minutes on two cores, at laptop scale",
    profiles=MOCO_RUN,
    rows={f"queue {place}": {"method.queue": 256 * 2**place} for place in range(1, 6)},
    scaled={
        "workstation": {
            f"queue {place}": {"method.queue": length, "batch_size": 256}
            for place, length in enumerate(WORKSTATION, start=1)
        },
        "cluster": {f"queue {place}": {"method.queue": length} for place, length in enumerate(CLUSTER, start=1)},
    },
    claims=(
        Claim(
            statement="The longer the queue, the better the features.",
            order=tuple(f"queue {place}" for place in range(1, 6)),
            **MORE_IS_BETTER,
        ),
        Claim(
            statement="A longer queue still helps at the upper end.",
            higher="queue 5",
            lower="queue 3",
            **MORE_IS_BETTER,
        ),
    ),
)
