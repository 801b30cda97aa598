"""How many negatives does MoCo's queue need?

Why it matters: the queue is what frees the number of negatives from the batch.
Source: He, Fan, Wu, Xie, Girshick (2020), arXiv:1911.05722, sec. 4.1 and fig. 3.
Expected: more negatives are better, with less and less to gain.
Cost: laptop 15 runs, about 7 minutes on two cores. Nobody has timed the other profiles.
"""

from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import MOCO_RUN

SOURCE = "He et al. 2020, arXiv:1911.05722, sec. 4.1 and fig. 3"
LARGE = (256, 1024, 4096, 16_384, 65_536)

STUDY = Study(
    name="queue-size",
    question="How many negatives does MoCo's queue need?",
    source=SOURCE,
    expected="More negatives are better, with less and less to gain.",
    cost="15 runs, about 7 minutes on two cores, at laptop scale",
    profiles=MOCO_RUN,
    rows={f"queue {place}": {"method.queue": 256 * 2**place} for place in range(1, 6)},
    scaled={
        profile: {
            f"queue {place}": {"method.queue": length, **({"batch_size": 256} if profile == "workstation" else {})}
            for place, length in enumerate(LARGE, start=1)
        }
        for profile in ("workstation", "cluster")
    },
    claims=(
        Claim(
            statement="The longest queue beats the shortest.",
            source=SOURCE,
            higher="queue 5",
            lower="queue 1",
            published="accuracy grows with the number of negatives from 256 to 65,536",
        ),
        Claim(
            statement="A longer queue still helps at the upper end.",
            source=SOURCE,
            higher="queue 5",
            lower="queue 3",
            published="the curve still rises, and flattens",
        ),
    ),
)
