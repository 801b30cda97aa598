"""With labels, which way of comparing embeddings teaches most, and by which negatives?

Why it matters: these losses came one after the other to compare with more and harder negatives; contrast of whole
batches is their heir.
Source: Khosla et al. (2020), arXiv:2004.11362, abstract; Schroff, Kalenichenko, Philbin (2015), arXiv:1503.03832, sec.
3.2.
Expected: SupCon beats the triplet loss, the margin loss on pairs and N-pairs, and cross-entropy; triplets learn more
from semi-hard negatives than from the hardest.
Cost: laptop 33 runs. Nobody has timed them, nor the other profiles.

All share views, encoder and an embedding of 128; cross-entropy has a linear layer on the encoder instead. Margins and
temperatures are each loss's own defaults, and were not searched for.
"""

from unlabeled.methods.supervised.classifier import SupervisedConfig
from unlabeled.methods.supervised.metric_learning import MetricLearningConfig
from unlabeled.methods.supervised.supcon import SupConConfig
from unlabeled.platform.augment import SIMCLR, SIMCLR_SMALL, Policy, ViewPlan, two_views
from unlabeled.platform.metrics import OURS
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import SIMCLR_RUN
from unlabeled.studies.tables import said

OLDER, CROSS_ENTROPY, SEMI_HARD = (
    said(finding) for finding in ("supcon-over-older", "supcon-over-cross-entropy", "facenet-semi-hard")
)
LOSSES: dict[str, object] = {
    "pairs with a margin": "contrastive",
    "triplets, all": {"name": "triplet", "mining": "none"},
    "triplets, semi-hard": {"name": "triplet", "mining": "semi-hard"},
    "triplets, hardest": {"name": "triplet", "mining": "hardest"},
    "lifted structure": "lifted-structured",
    "N-pairs": "n-pair",
    "soft nearest neighbours": "soft-nearest-neighbor",
    "NCE": "nce",
    "InfoNCE": "info-nce",
}


def rows(policy: Policy, width: int) -> dict[str, dict[str, object]]:
    """Return a row for each loss, on the same views."""
    views, one = two_views(policy), ViewPlan(views=(policy,))
    return {
        **{
            row: {"method": MetricLearningConfig.checked(views=views, head=(128,), loss=loss)}
            for row, loss in LOSSES.items()
        },
        "SupCon": {"method": SupConConfig(views=views, head=(width, 128))},
        "cross-entropy": {"method": SupervisedConfig(views=one)},
    }


STUDY = Study(
    name="loss-family",
    question="With labels, which way of comparing embeddings teaches most, and by which negatives?",
    source=OLDER["source"],
    expected="SupCon beats triplets, pairs, N-pairs and cross-entropy; semi-hard negatives beat the hardest.",
    cost="33 runs, nobody has timed them",
    profiles=SIMCLR_RUN,
    rows=rows(SIMCLR_SMALL, 256),
    scaled={"workstation": rows(SIMCLR_SMALL, 512), "cluster": rows(SIMCLR, 2048)},
    claims=(
        *(
            Claim(statement=f"SupCon beats {loss}.", higher="SupCon", lower=row, **OLDER)
            for row, loss in (
                ("triplets, semi-hard", "the triplet loss"),
                ("pairs with a margin", "the margin loss on pairs"),
                ("N-pairs", "N-pairs"),
            )
        ),
        Claim(statement="SupCon beats cross-entropy.", higher="SupCon", lower="cross-entropy", **CROSS_ENTROPY),
        Claim(
            statement="Triplets learn more from semi-hard negatives than from the hardest.",
            higher="triplets, semi-hard",
            lower="triplets, hardest",
            **SEMI_HARD,
        ),
        Claim(
            statement="It matters which negatives are taken: semi-hard ones beat the mean over all.",
            higher="triplets, semi-hard",
            lower="triplets, all",
            source=OURS,
        ),
    ),
)
