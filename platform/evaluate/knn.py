"""Weighted nearest neighbours: the label that the most similar training pictures vote for.

Wu, Xiong, Yu, Lin (2018), "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", arXiv:1805.01978,
sec. 3.4: cosine similarity s, votes weighted exp(s / temperature).
"""

import functools
from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field

from unlabeled.platform.evaluate.features import CHUNK, Features
from unlabeled.platform.evaluate.nearest import nearest
from unlabeled.platform.evaluate.probe import FeatureProbe, Score
from unlabeled.platform.metrics import Metric, scores_of


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
        """Keep the training pictures' features as the bank that votes."""
        return functools.partial(self._score, train)

    @torch.no_grad()
    def _score(self, bank: Features, test: Features) -> Mapping[str, float]:
        assert bank.labels is not None
        assert test.labels is not None
        num_classes = int(max(bank.labels.max(), test.labels.max())) + 1
        similarity_NK, nearest_NK = nearest(test, bank, min(self.neighbors, len(bank)))
        correct = 0
        for rows in torch.split(torch.arange(len(test), device=test.labels.device), CHUNK):
            weights = ((similarity_NK[rows] - 1.0) / self.temperature).exp()  # the shift by 1 only keeps exp in range
            votes = torch.zeros(len(rows), num_classes, device=weights.device)
            votes.scatter_add_(1, bank.labels[nearest_NK[rows]], weights)
            correct += int((votes.argmax(dim=1) == test.labels[rows]).sum())
        return {"top1": correct / len(test)}
