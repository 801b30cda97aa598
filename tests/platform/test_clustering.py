"""The clustering probe against scikit-learn and SciPy, and against what must not matter to it."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as Solver
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from unlabeled.platform.evaluate import Features, KMeans
from unlabeled.platform.evaluate.clustering import matched_accuracy


def blobs(num: int, spread: float, seed: int = 0, classes: int = 4, dim: int = 8) -> Features:
    """Gaussian classes in directions of their own."""
    centers = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99)) * 3.0
    labels = torch.arange(num) % classes
    x = centers[labels] + spread * torch.randn(num, dim, generator=torch.Generator().manual_seed(seed))
    return Features(x, labels)


def test_scores_are_those_of_scikit_learns_clusters_of_unit_features() -> None:
    train, test = blobs(300, 3.0), blobs(200, 3.0, seed=1)
    unit = [f.x.numpy() / np.linalg.norm(f.x.numpy(), axis=1, keepdims=True) for f in (train, test)]
    clusters = Solver(4, n_init=10, random_state=0).fit(unit[0]).predict(unit[1])
    labels = test.labels.numpy()
    best = max((np.array(names)[clusters] == labels).mean() for names in itertools.permutations(range(4)))
    found = KMeans()(train, test)
    assert 0.3 < best < 1.0
    assert found == {
        "top1": pytest.approx(best),
        "nmi": pytest.approx(normalized_mutual_info_score(labels, clusters)),
        "ari": pytest.approx(adjusted_rand_score(labels, clusters)),
    }


@pytest.mark.parametrize(("clusters", "classes"), [(4, 4), (3, 5), (5, 3)])
def test_the_matching_is_the_best_of_all(clusters: int, classes: int) -> None:
    generator = np.random.default_rng(0)
    labels, found = generator.integers(classes, size=60), generator.integers(clusters, size=60)
    size = max(clusters, classes)
    best = max((np.array(names)[found] == labels).mean() for names in itertools.permutations(range(size)))
    assert matched_accuracy(labels, found) == pytest.approx(best)


def test_what_clusters_are_called_and_classes_are_called_does_not_matter() -> None:
    train, test = blobs(300, 3.0), blobs(200, 3.0, seed=1)
    renamed = [Features(f.x, torch.tensor([2, 0, 3, 1])[f.labels]) for f in (train, test)]
    assert KMeans()(*renamed) == pytest.approx(KMeans()(train, test))
    labels, clusters = test.labels.numpy(), np.random.default_rng(0).integers(4, size=200)
    assert matched_accuracy(labels, np.array([3, 1, 0, 2])[clusters]) == matched_accuracy(labels, clusters)


def test_training_labels_tell_only_how_many_clusters_there_are() -> None:
    train, test = blobs(300, 3.0), blobs(200, 3.0, seed=1)
    shuffled = Features(train.x, train.labels[torch.randperm(300, generator=torch.Generator().manual_seed(0))])
    assert KMeans()(shuffled, test) == KMeans()(train, test)
    assert KMeans(num_clusters=4)(Features(train.x, torch.zeros(300, dtype=torch.int64)), test) == KMeans()(train, test)


def test_a_features_length_does_not_matter() -> None:
    train, test = blobs(300, 1.0), blobs(200, 1.0, seed=1)
    stretched = Features(test.x * torch.linspace(0.5, 20.0, 200)[:, None], test.labels)
    assert KMeans()(train, stretched) == pytest.approx(KMeans()(train, test))


def test_one_cluster_knows_nothing_and_there_are_no_more_clusters_than_pictures() -> None:
    train, test = blobs(300, 0.1), blobs(200, 0.1, seed=1)
    assert KMeans(num_clusters=1)(train, test) == {"top1": 0.25, "nmi": 0.0, "ari": 0.0}
    assert KMeans(num_clusters=500, num_starts=1)(blobs(8, 0.1), test)["top1"] <= 1.0
