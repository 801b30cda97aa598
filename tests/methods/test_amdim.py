"""AMDIM against its paper's loss, pair by pair; and what of an encoder it looks at."""

import math

import pytest
import torch
from formats import plain
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.autoregressive.cpc import CPCConfig
from unlabeled.methods.contrastive.amdim import AMDIM, AMDIMConfig, tell
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

B, D = 4, 5


def embedded(seed: int, places: int, scale: float = 1.5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(B, D, places, generator=generator, dtype=torch.float64)).requires_grad_()


def slow(a: Tensor, b: Tensor, clip: float) -> tuple[Tensor, Tensor, float]:
    """Return the loss of whole vectors [B, D] and places [B, D, P], its penalty, and how often places are told."""
    terms, squares, told = [], [], 0
    places = [(j, p) for j in range(len(b)) for p in range(b.shape[2])]
    for i in range(len(a)):
        raw = {(j, p): (a[i] @ b[j, :, p]) / math.sqrt(D) for j, p in places}
        score = {at: clip * torch.tanh(value / clip) for at, value in raw.items()}
        squares += [value**2 for value in raw.values()]
        others = [at for at in places if at[0] != i]
        for p in range(b.shape[2]):
            against = sum(score[at].exp() for at in others)
            terms.append(-(score[i, p].exp() / (score[i, p].exp() + against)).log())
            told += all(bool(score[i, p] > score[at]) for at in others)
    return torch.stack(terms).mean(), torch.stack(squares).mean(), told / len(terms)


@pytest.mark.parametrize(("places", "clip"), [(1, 20.0), (6, 20.0), (6, 1.0)])
def test_a_task_is_the_papers_pair_by_pair(places: int, clip: float) -> None:
    a, b, a2, b2 = embedded(0, 1), embedded(1, places), embedded(0, 1), embedded(1, places)
    terms, square, won = tell(a[:, :, 0], b, clip)
    loss, top1 = terms.mean(), won.mean()
    expected, expected_square, share = slow(a2[:, :, 0], b2, clip)
    assert_close(loss, expected, rtol=1e-10, atol=0)
    assert_close(square, expected_square, rtol=1e-10, atol=0)
    assert top1.item() == pytest.approx(share)
    for value in (loss + 0.3 * square, expected + 0.3 * expected_square):
        value.backward()  # type: ignore[no-untyped-call]
    assert_close(a.grad, a2.grad, rtol=1e-8, atol=1e-12)
    assert_close(b.grad, b2.grad, rtol=1e-8, atol=1e-12)


def build(encoder: EncoderConfig | None = None, px: int = 16, **fields: object) -> AMDIM:
    torch.manual_seed(0)
    config = AMDIMConfig.checked(**{"embedding": D, **fields})
    data = load(DataConfig(train_images=256, image_px=px))
    return config.build((encoder or ConvNetConfig(width=4)).build(plain(1, px)), data).double()


def batch_of(px: int = 16) -> Batch:
    views = torch.rand(2, B, 1, px, px, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = torch.arange(B)
    return Batch(views=(views[0], views[1]), index=rows, draws=Draws(rows, 0, 0))


def test_all_three_tasks_in_both_directions() -> None:
    method, batch = build(penalty=0.07, clip=3.0), batch_of()
    (w1, c1, f1, w2, c2, f2), expected, told = method.embed(batch), torch.zeros((), dtype=torch.float64), []
    for number, (whole, coarse, to_coarse, to_fine) in enumerate(((w1, c1, c2, f2), (w2, c2, c1, f1)), start=1):
        place = batch.draws.integers(f"place of view {number}", coarse.shape[2])
        one = torch.stack([coarse[i, :, place[i]] for i in range(B)])
        for a, b in ((whole[:, :, 0], to_coarse), (whole[:, :, 0], to_fine), (one, to_coarse)):
            loss, square, share = slow(a, b, 3.0)
            expected = expected + (loss + 0.07 * square) / 2
            told.append(share)
    result = method.contrast((w1, c1, f1, w2, c2, f2), batch)
    assert_close(result.loss, expected, rtol=1e-10, atol=0)
    assert result.logs["contrast/top1"].item() == pytest.approx(sum(told) / 6)
    assert (w1.shape, c1.shape, f1.shape) == ((B, D, 1), (B, D, 4), (B, D, 16)), "16 px: grids of 2 and 4"


def test_scores_stay_below_the_clip_and_are_free_where_small() -> None:
    a, b = embedded(0, 1, 1e3).detach()[:, :, 0], embedded(1, 3, 1e3).detach()
    terms, _, _ = tell(a, b, 2.0)
    assert terms.mean() < math.log(1 + 9 * math.exp(4.0)), "however far the scores are apart"
    assert_close(tell(a / 1e5, b / 1e5, 20.0)[0], tell(a / 1e5, b / 1e5, 1e9)[0], rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("encoder", "grids"),
    [
        (ConvNetConfig(width=4), (4, 16)),
        (ViTConfig(width=4, depth=2, patch_px=4), (16, 17)),  # a class token is a place among the block's
    ],
)
def test_it_looks_at_the_last_two_stages(encoder: EncoderConfig, grids: tuple[int, int]) -> None:
    method = build(encoder)
    whole, coarse, fine = method.features(batch_of().views[0])
    assert (whole.shape[2], coarse.shape[2], fine.shape[2]) == (1, *grids)
    maps = method.encoder.maps(batch_of().views[0])
    assert_close(whole[:, :, 0], maps.pooled)
    assert_close(coarse, maps.grid.flatten(2))
    assert not any(part._forward_hooks for part in method.encoder.modules()), "nothing is left behind"
    method(batch_of()).loss.backward()


def test_building_leaves_running_statistics_alone() -> None:
    fresh = ConvNetConfig(width=4).build(plain(1, 16)).state_dict()
    assert_close(build().encoder.state_dict()["stages.0.1.running_mean"], fresh["stages.0.1.running_mean"].double())


def test_an_encoder_without_stages_is_one_clear_line(small_run: RunConfig, small_data: Data) -> None:
    encoder = CPCConfig().make_encoder(ConvNetConfig(width=4), small_data.format)
    with pytest.raises(
        UserError, match=r"^amdim takes local features of an encoder's last two stages.* has none to be"
    ):
        AMDIMConfig().check_encoder(encoder, 28)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"clip": 0.0}, r"clip.*greater than 0"), ({"penalty": -1.0}, r"penalty.*greater than or equal to 0.*-1")],
)
def test_what_can_not_be_is_one_clear_line(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        AMDIMConfig.checked(**fields)
