"""PIRL, CMC and local aggregation: what they tell by a memory bank, against loops over rows and items."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from formats import format_of, plain
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.contrastive.cmc import CMC, CMCConfig
from unlabeled.methods.contrastive.local_aggregation import LocalAggregation, LocalAggregationConfig
from unlabeled.methods.contrastive.pirl import PIRL, PIRLConfig
from unlabeled.methods.cross_channel.lab import LabEncoder, rgb_to_lab
from unlabeled.methods.innate.tiles import cut
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Survey

B, D, K, TAU = 4, 5, 12, 0.2
INDEX = torch.tensor([3, 17, 0, 29])
DRAWS = Draws(torch.arange(B), 0, 1, "method")


def images_of(channels: int, seed: int, px: int = 28) -> Tensor:
    return torch.rand(B, channels, px, px, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def nce(v: Tensor, bank: Tensor, draws: Draws, z: float | None = None) -> tuple[Tensor, float]:
    """Return the noise-contrastive loss of vectors, row by row, and the constant, which the first batch gives."""
    noise = draws.integers("noise", len(bank), K)
    score = torch.stack([bank[[int(INDEX[row]), *noise[row].tolist()]] @ v[row] for row in range(B)]).div(TAU).exp()
    z = z or len(bank) * score.mean().item()
    p, frequency = score / z, K / len(bank)
    rows = [-(p[row, 0] / (p[row, 0] + frequency)).log() for row in range(B)]
    rows += [-(frequency / (q + frequency)).log() for row in range(B) for q in p[row, 1:]]
    return torch.stack(rows).sum() / B, z


@pytest.fixture(scope="module")
def emoji() -> Data:
    return load(DataConfig(name="emoji", train_images=256))


# ---- PIRL ------------------------------------------------------------------------------------------------------------


def pirl(data: Data, weight: float = 0.3) -> PIRL:
    torch.manual_seed(0)
    config = PIRLConfig(tile_px=8, weight=weight, temperature=TAU, negatives=K, width=D)
    method = config.build(ConvNetConfig(width=4).build(plain(1, 28)), data).double()
    method.bank.vectors = F.normalize(method.bank.vectors, dim=1)
    return method


def test_pirls_loss_weighs_tiles_and_picture_and_the_bank_follows_the_picture(small_data: Data) -> None:
    method = pirl(small_data)
    batch = Batch(views=(images_of(1, 1), images_of(1, 2)), index=INDEX, draws=DRAWS)
    before = method.bank.vectors.clone()
    picture = F.normalize(method.head(method.encoder(batch.views[0])), dim=1)
    tiles, order = cut(batch.views[1], 8, DRAWS), DRAWS.permutation("order", 9)
    made = method.tile_head(method.encoder(tiles.flatten(0, 1))).view(B, 9, D)
    rows = [torch.cat([made[row, place] for place in order[row]]) for row in range(B)]
    joined = F.normalize(method.join(torch.stack(rows)), dim=1)
    of_tiles, z = nce(joined, before, DRAWS.fold_in("tiles"))
    of_picture, _ = nce(picture, before, DRAWS.fold_in("picture"), z)
    assert_close(method(batch).loss, 0.3 * of_tiles + 0.7 * of_picture)
    expected = before.clone()
    expected[INDEX] = F.normalize(0.5 * before[INDEX] + 0.5 * picture.detach(), dim=1)
    assert_close(method.bank.vectors, expected)


def test_a_picture_keeps_its_tiles_in_another_order_each_time(small_data: Data) -> None:
    method, images = pirl(small_data), images_of(1, 3)
    tiles, shuffled = cut(images, 8, DRAWS), method.tiles(images, DRAWS)
    orders = set()
    for row in range(B):
        places = [next(n for n in range(9) if torch.equal(tiles[row, n], tile)) for tile in shuffled[row]]
        assert sorted(places) == list(range(9))
        orders.add(tuple(places))
    assert len(orders) == B


def test_tiles_that_do_not_fit_are_one_clear_line(small_data: Data) -> None:
    with pytest.raises(
        UserError, match=r"^a tile of 10 px does not do: 4 px is the least, and a third .*, 9 px, the most"
    ):
        PIRLConfig(tile_px=10).check(64, 1, small_data)
    config = PIRLConfig(tile_px=8)
    encoder = ViTConfig(width=8, depth=1, patch_px=7).build(plain(1, 28))
    with pytest.raises(UserError, match=r"^patches of 7 px do not divide a tile of 8 px; set method.tile_px to a mult"):
        config.check_encoder(encoder, 28)
    config.check_encoder(ViTConfig(width=8, depth=1, patch_px=4).build(plain(1, 28)), 28)


# ---- CMC -------------------------------------------------------------------------------------------------------------


def test_cmcs_views_are_told_by_each_others_bank(emoji: Data) -> None:
    torch.manual_seed(0)
    config = CMCConfig(temperature=TAU, negatives=K, width=D)
    method = config.build(config.make_encoder(ConvNetConfig(width=8), emoji.format), emoji).double()
    assert isinstance(method, CMC)
    assert isinstance(method.encoder, LabEncoder)
    for bank in method.banks.values():
        bank.vectors = F.normalize(bank.vectors, dim=1)  # type: ignore[arg-type]
    batch = Batch(views=(images_of(3, 4, px=32),), index=INDEX, draws=DRAWS)
    light, color = (bank.vectors.clone() for bank in method.banks.values())  # type: ignore[operator,union-attr]
    lab, parts = rgb_to_lab(batch.views[0]), method.encoder.parts
    z_light = F.normalize(method.heads["lightness"](parts["lightness"](lab[:, :1])), dim=1)
    z_color = F.normalize(method.heads["color"](parts["color"](lab[:, 1:])), dim=1)
    one, _ = nce(z_light, color, DRAWS.fold_in("lightness"))
    other, _ = nce(z_color, light, DRAWS.fold_in("color"))
    assert_close(method(batch).loss, one + other)
    for name, before, z in (("lightness", light, z_light), ("color", color, z_color)):
        after = method.banks[name].vectors[INDEX]  # type: ignore[index]
        assert_close(after, F.normalize(before[INDEX] + z.detach(), dim=1))


def test_cmc_needs_colours(small_data: Data) -> None:
    with pytest.raises(UserError, match=r"^cmc needs colour pictures, and fashion-mnist-12k is grey; choose another"):
        CMCConfig().check(64, 1, small_data)
    with pytest.raises(UserError, match=r"^cmc halves encoder.width, and a half is 4 at least; got 6, use 8"):
        CMCConfig().make_encoder(ConvNetConfig(width=6), format_of(3, 32))


# ---- local aggregation -----------------------------------------------------------------------------------------------


def local(data: Data, **fields: object) -> LocalAggregation:
    torch.manual_seed(0)
    config = LocalAggregationConfig.checked(
        **{"head": (D,), "temperature": TAU, "neighbours": 40, "clusters": 16, "clusterings": 3, **fields}
    )
    method = config.build(ConvNetConfig(width=4).build(plain(1, 28)), data).double()
    method.bank.vectors = F.normalize(method.bank.vectors, dim=1)
    return method


def cluster(method: LocalAggregation, epoch: int, seed: int = 0) -> None:
    class Unseen(Survey):
        draws = Draws(torch.arange(len(method.bank.vectors)), seed, epoch)

        def features(self, module: torch.nn.Module) -> Tensor:
            raise AssertionError("the bank is looked at, not the items")

    method.before_epoch(epoch, Unseen())


@pytest.mark.parametrize("neighbours", [40, 10_000])
def test_the_loss_is_the_share_of_close_neighbours_among_those_in_the_background(
    small_data: Data, neighbours: int
) -> None:
    method = local(small_data, neighbours=neighbours, warmup_epochs=0)
    cluster(method, 0)
    batch = Batch(views=(images_of(1, 5),), index=INDEX, draws=DRAWS)
    bank = method.bank.vectors.clone()
    v = F.normalize(method.head(method.encoder(batch.views[0])), dim=1)
    terms, counts = [], []
    for row, own in enumerate(INDEX.tolist()):
        near = sorted(set(range(len(bank))) - {own}, key=lambda item: -float(v[row].detach() @ bank[item]))
        near = [own, *near[: neighbours - 1]]
        close = [item for item in near if any(each[item] == each[own] for each in method.cluster)]
        weight = {item: (v[row] @ bank[item] / TAU).exp() for item in near}
        terms.append(-(sum(weight[item] for item in close) / sum(weight.values())).log())  # type: ignore[union-attr]
        counts.append(len(close))
    assert max(counts) > 1
    result = method(batch)
    assert_close(result.loss, torch.stack(terms).mean())
    assert_close(result.logs["neighbours/close"].item(), sum(counts) / B)
    weights = list(method.parameters())
    gradients = (torch.autograd.grad(loss, weights) for loss in (result.loss, torch.stack(terms).mean()))
    for found, wanted in zip(*gradients, strict=True):
        assert_close(found, wanted)


def test_before_the_first_clustering_it_is_the_softmax_over_all_items(small_data: Data) -> None:
    method = local(small_data, neighbours=10_000, warmup_epochs=2)
    for epoch in (0, 1):
        cluster(method, epoch)
    batch = Batch(views=(images_of(1, 5),), index=INDEX, draws=DRAWS)
    logits = F.normalize(method.head(method.encoder(batch.views[0])), dim=1) @ method.bank.vectors.clone().T / TAU
    assert_close(method(batch).loss, F.cross_entropy(logits, INDEX))
    cluster(method, 2)
    assert all(len(each.unique()) == 16 for each in method.cluster)


def test_each_clustering_is_another_and_tight(small_data: Data) -> None:
    """Against scikit-learn's, from as many starts."""
    from sklearn.cluster import KMeans

    method = local(small_data, warmup_epochs=0)
    cluster(method, 0)
    bank = method.bank.vectors
    for one, other in itertools.combinations(method.cluster, 2):
        assert not torch.equal(one, other)
    spread = []
    for own in method.cluster:
        centres = torch.stack([bank[own == number].mean(dim=0) for number in range(16)])
        spread.append(float((bank - centres[own]).square().sum()))
    theirs = [KMeans(16, n_init=1, random_state=seed).fit(bank.numpy()).inertia_ for seed in range(3)]
    assert min(spread) < 1.05 * max(theirs)
    assert max(spread) < 1.15 * min(theirs)


def test_each_epoch_and_seed_has_starts_of_its_own(small_data: Data) -> None:
    method, found = local(small_data, warmup_epochs=0), []
    for epoch, seed in ((0, 0), (0, 0), (1, 0), (0, 1)):
        cluster(method, epoch, seed)
        found.append(
            [frozenset((own == number).nonzero()[:, 0].tolist()) for own in method.cluster for number in range(16)]
        )
    assert found[0] == found[1]
    assert len({frozenset(clusters) for clusters in found}) == 3, "of the same bank"


def test_more_clusters_than_pictures_are_one_clear_line(small_data: Data) -> None:
    count = len(small_data.pretrain)
    rule = (
        rf"^method.clusters 30000 is more than the {count} items to train on of fashion-mnist-12k; use at most {count},"
    )
    with pytest.raises(UserError, match=rule):
        LocalAggregationConfig().check(64, 1, small_data)
