"""Clustering: do the classes lie apart in the features, when no label says where?

k-means on unit features, with as many clusters as there are classes. Caron, Bojanowski, Joulin, Douze (2018),
arXiv:1807.05520, cluster features of unit length too (after a PCA, which is left out here). Scored as Van Gansbeke et
al. (2020), arXiv:2005.12320, score: accuracy under the best matching of clusters to classes, normalised mutual
information, and the Rand index adjusted for chance.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import Field

from unlabeled.platform.evaluate.features import Features
from unlabeled.platform.evaluate.lloyd import Lloyd, nearness_of, sample_of
from unlabeled.platform.evaluate.probe import FeatureProbe, Score
from unlabeled.platform.metrics import Metric, scores_of


class KMeans(FeatureProbe):
    """k-means of the training pictures; others join the cluster with the nearest centre.

    ``top1`` is the share of pictures whose cluster is matched to their class, one to one and as well as possible on the
    split that is scored; ``nmi`` is the mutual information of clusters and classes over the mean of their entropies;
    ``ari`` is 0 for clusters by chance and may fall below.

    Attributes:
        num_clusters: how many; None takes as many as the training pictures have classes. Never more than pictures.
        num_starts: from how many random centres it starts; the tightest clustering is taken. Of more than 32,768
            pictures and 32 for each cluster, starts are compared on so many of them, and the tightest is refined on
            all.
    """

    name = "kmeans"
    scores: ClassVar[Mapping[str, Metric]] = scores_of("kmeans", "top1", "nmi", "ari")
    version = 2
    num_clusters: int | None = Field(default=None, ge=1)
    num_starts: int = Field(default=10, ge=1)

    def at_size(self, items: int, classes: int) -> str:
        """Say where starts are compared on a sample."""
        sample = len(sample_of(items, min(items, self.num_clusters or classes)))
        return "" if sample == items else f"starts compared on {sample:,} of {items:,} items"

    def learn(self, train: Features) -> Score:
        """Find the clusters; of the labels only their number is looked at."""
        assert train.labels is not None
        num_clusters = self.num_clusters or len(train.labels.unique())  # type: ignore[no-untyped-call]
        solver = Lloyd(train.x, min(num_clusters, len(train)), train.labels.device)
        centres = solver.solve(self.num_starts)

        @torch.no_grad()
        def score(test: Features) -> Mapping[str, float]:
            from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score  # here, for it takes a second

            own = [nearness_of(F.normalize(x.to(centres), dim=1), centres).argmax(dim=1) for x, _ in test.blocks()]
            assert test.labels is not None
            labels, found = test.labels.cpu().numpy(), torch.cat(own).cpu().numpy()
            return {
                "top1": matched_accuracy(labels, found),
                "nmi": float(normalized_mutual_info_score(labels, found)),
                "ari": float(adjusted_rand_score(labels, found)),
            }

        return score


def matched_accuracy(labels_N: npt.NDArray[np.int64], clusters_N: npt.NDArray[np.int64]) -> float:
    """Return the accuracy under the best one-to-one matching of clusters to classes (the Hungarian method).

    Where there are more of one than of the other, those left over match nothing, and their pictures count as wrong.
    """
    from scipy.optimize import linear_sum_assignment

    shared = np.zeros((int(clusters_N.max()) + 1, int(labels_N.max()) + 1), dtype=np.int64)
    np.add.at(shared, (clusters_N, labels_N), 1)
    cluster, label = linear_sum_assignment(shared, maximize=True)
    return float(shared[cluster, label].sum() / len(labels_N))
