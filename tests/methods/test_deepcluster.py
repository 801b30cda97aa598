"""DeepCluster against scikit-learn's PCA and k-means, and its weights against drawing clusters equally often."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.clustering.assignment import agreement, clustered, whitened, without_empty
from unlabeled.methods.clustering.deepcluster import DeepCluster, DeepClusterConfig
from unlabeled.methods.parts import SMALL, one_view
from unlabeled.platform.augment import PLAIN
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.errors import UserError
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import check_fits
from unlabeled.platform.train.loop import Training


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def config(**fields: object) -> DeepClusterConfig:
    return DeepClusterConfig.checked(**{"views": one_view(SMALL), "clusters": 12, "components": 8, **fields})


# ---- how pictures are clustered --------------------------------------------------------------------------------------


@pytest.mark.parametrize("components", [3, 99])
def test_features_are_whitened_as_scikit_learn_does(components: int) -> None:
    x = drawn(40, 6) @ drawn(6, 6) + 3.0
    expected = F.normalize(torch.from_numpy(PCA(min(6, components), whiten=True).fit_transform(x.numpy())), dim=1)
    made = whitened(x.float(), components)
    assert made.shape == expected.shape
    assert_close(made @ made.T, expected @ expected.T, rtol=0.0, atol=1e-4)  # axes have no sign
    assert whitened(torch.ones(5, 3), 2).isfinite().all()


def test_clusters_are_those_that_scikit_learn_finds() -> None:
    centres = F.normalize(drawn(7, 5), dim=1)
    x = F.normalize(centres.repeat_interleave(9, dim=0) + 0.05 * drawn(63, 5), dim=1)
    own = clustered(x, 7, torch.randperm(63, generator=torch.Generator().manual_seed(1)))
    theirs = torch.from_numpy(KMeans(7, n_init=20, random_state=0).fit_predict(x.numpy()))
    assert agreement(own, theirs) == pytest.approx(1.0)
    assert agreement(own, torch.arange(63) % 7) < 0.5


def test_an_empty_cluster_gets_the_side_of_an_item_of_its_cluster() -> None:
    x, order = drawn(20, 3), torch.randperm(20, generator=torch.Generator().manual_seed(2))
    before = torch.arange(20) % 3  # of 5 clusters, 3 and 4 are empty
    after = without_empty(x, before, 5, order)
    expected = before.clone()
    for empty, item in ((3, int(order[0])), (4, int(order[1]))):
        members = [n for n in range(20) if expected[n] == expected[item]]
        mean = sum(x[n] for n in members) / len(members)
        for n in members:
            if float((x[n] - mean) @ (x[item] - mean)) > 0.0:
                expected[n] = empty
    assert torch.equal(after, expected)
    assert (after.bincount(minlength=5) > 0).all()
    assert torch.equal(without_empty(x, after, 5, order), after)


def test_items_that_are_all_alike_leave_clusters_empty() -> None:
    own = torch.zeros(6, dtype=torch.int64)
    assert torch.equal(without_empty(torch.ones(6, 2).double(), own, 3, torch.arange(6)), own)
    assert len(clustered(F.normalize(torch.ones(6, 2).double(), dim=1), 3, torch.arange(6))) == 6


# ---- the whole -------------------------------------------------------------------------------------------------------


def test_over_all_items_the_loss_is_that_of_clusters_drawn_equally_often(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    run = small_run.with_field("batch_size", len(small_data.pretrain)).with_field("epochs", 1)
    training = Training(run.with_field("method", config(views=one_view(PLAIN))), small_data, processor)
    method = training.method
    assert isinstance(method, DeepCluster)
    batch = training.batch(0)
    with torch.no_grad():
        sizes = torch.tensor([1] * 3 + [20] * 4)
        sizes = torch.cat([sizes, (len(batch.index) - sizes.sum())[None]])  # of 12 clusters, four have nobody
        method.cluster.copy_(torch.arange(8).repeat_interleave(sizes))
        method.size.copy_(method.cluster.bincount(minlength=12))
        method.classifier.weight.normal_(generator=torch.Generator().manual_seed(0))
        result = method.eval()(batch)
        log_p = method.classifier(method.encoder(batch.views[0])).log_softmax(dim=1)
    own = method.cluster[batch.index]
    losses = [torch.stack([-row[k] for row, of in zip(log_p, own, strict=True) if of == k]).mean() for k in range(8)]
    assert_close(result.loss, torch.stack(losses).mean())
    top1 = log_p.argmax(dim=1).eq(own).float().mean()
    assert_close(result.logs["clusters/top1"], top1)


def test_each_epoch_clusters_what_the_encoder_makes_and_begins_the_classifier_anew(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    training = Training(small_run.with_field("method", config()), small_data, processor)
    method, last, seen = training.method, training.steps_per_epoch, []
    assert isinstance(method, DeepCluster)
    training.method.classifier.register_forward_pre_hook(
        lambda layer, _: seen.append((layer.weight.detach().clone(), layer.bias.detach().clone()))
    )
    clusters = []
    for step in training.steps():
        if step in (1, last + 1):
            clusters.append(method.cluster.clone())
            assert torch.equal(method.size, method.cluster.bincount(minlength=12))
            assert (method.size > 0).all()
    first, second = seen[0], seen[last]
    for weight, bias in (first, second):
        assert 0.008 < float(weight.std()) < 0.012
        assert not bias.any()
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(*clusters)
    assert float(method.kept) == pytest.approx(agreement(*clusters), rel=1e-6)


def test_clusters_stay_for_as_many_epochs_as_is_said(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    training = Training(small_run.with_field("method", config(every=2)), small_data, processor)
    found = [training.method.cluster.clone() for _ in training.epochs()]  # type: ignore[operator]
    assert len(found) == 2
    assert torch.equal(found[0], found[1])


def test_more_clusters_than_pictures_is_one_clear_line(small_run: RunConfig, small_data: Data) -> None:
    items = len(small_data.pretrain)
    check_fits(small_run.with_field("method", config(clusters=items)), small_data)
    message = (
        rf"^method\.clusters {items + 1} is more than there are pictures: fashion-mnist-12k has only {items} items"
    )
    with pytest.raises(UserError, match=message):
        check_fits(small_run.with_field("method", config(clusters=items + 1)), small_data)
