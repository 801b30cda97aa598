"""Weighted nearest neighbours: the label that the most similar training pictures vote for.

Wu, Xiong, Yu, Lin (2018), "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", arXiv:1805.01978,
sec. 3.4: cosine similarity s, votes weighted exp(s / temperature).
"""

import functools
from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlabeled.platform.evaluate.features import Features
from unlabeled.platform.evaluate.probe import FeatureProbe, Score
from unlabeled.platform.metrics import Metric, scores_of

CHUNK = 1024  # test pictures compared at a time


class KNN(FeatureProbe):
    """Weighted kNN; ``top1`` is the share of test pictures whose winning label is theirs.

    Attributes:
        neighbors: how many vote; all of them where there are fewer.
        temperature: smaller gives the nearest more weight.
    """

    name = "knn"
    scores: ClassVar[Mapping[str, Metric]] = scores_of("knn", "top1")
    neighbors: int = Field(default=20, ge=1)
    temperature: float = Field(default=0.07, gt=0.0)

    def learn(self, train: Features) -> Score:
        """Keep the training pictures' unit features as the bank that votes."""
        assert train.labels is not None
        return functools.partial(self._score, F.normalize(train.x, dim=1), train.labels)

    @torch.no_grad()
    def _score(self, bank_ND: Tensor, bank_labels: Tensor, test: Features) -> Mapping[str, float]:
        assert test.labels is not None
        num_classes = int(max(bank_labels.max(), test.labels.max())) + 1
        correct = 0
        for queries, labels in zip(torch.split(test.x, CHUNK), torch.split(test.labels, CHUNK), strict=True):
            similarity, nearest = (F.normalize(queries, dim=1) @ bank_ND.T).topk(min(self.neighbors, len(bank_ND)))
            weights = ((similarity - 1.0) / self.temperature).exp()  # the shift by 1 only keeps exp in range
            votes = torch.zeros(len(queries), num_classes, device=queries.device)
            votes.scatter_add_(1, bank_labels[nearest], weights)
            correct += int((votes.argmax(dim=1) == labels).sum())
        return {"top1": correct / len(test)}
