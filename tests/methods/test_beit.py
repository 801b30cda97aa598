"""BEiT: which blocks are hidden, what is told of them, and when the tokenizer learns."""

import math
from dataclasses import replace

import pytest
import torch
from formats import by_hand, format_of
from torch import Tensor
from torch.distributions import Categorical, kl_divergence
from torch.testing import assert_close

from unlabeled.methods.masked.beit import BEiT, BEiTConfig
from unlabeled.methods.masked.blocks import blockwise_masks
from unlabeled.methods.masked.tokenizer import divergence, perplexity
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ViT, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

B, PX, PATCH = 4, 24, 4
SIDE = PX // PATCH
T = SIDE**2


def beit_of(**fields: object) -> BEiT:
    torch.manual_seed(0)
    small = {"tokens": 6, "tokenizer_width": 4, "smallest_block": 3}
    config = BEiTConfig.checked(**{**small, **fields})
    encoder = config.make_encoder(ViTConfig(width=4, depth=2, patch_px=PATCH), format_of(3, PX))
    assert isinstance(encoder, ViT)
    return BEiT(config, encoder, 3).double().eval()


def batch_of() -> Batch:
    draws = Draws(torch.arange(B), 0, 0, "method")
    return Batch(views=(draws.uniform("x", 3, PX, PX).double(),), index=draws.rows, draws=draws)


# ---- blocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "ratio", "smallest"), [(14, 0.4, 16), (6, 0.4, 3), (7, 0.4, 16), (4, 0.1, 16)])
def test_blocks_hide_nearly_their_share_and_never_more(side: int, ratio: float, smallest: int) -> None:
    hidden = blockwise_masks(Draws(torch.arange(500), 0), side, torch.full((500,), ratio), smallest).view(
        500, side, side
    )
    wanted = max(1, round(ratio * side**2))
    counts = hidden.sum(dim=(1, 2))
    assert counts.min() >= 1
    assert counts.max() <= wanted
    assert counts.double().mean() > 0.85 * wanted
    often = hidden.double().mean(dim=0)
    assert often.min() > 0.04 * often.max(), "anywhere, if more often in the middle"
    assert_close(often, often.flip(0), rtol=0.0, atol=0.15)
    assert_close(often, often.flip(1), rtol=0.0, atol=0.15)


def test_blocks_are_laid_one_after_another_where_they_fit() -> None:
    """The same by loops over pictures, attempts and patches, from the same numbers."""
    draws, side, wanted, smallest = Draws(torch.arange(20), 0), 8, 26, 5
    found = blockwise_masks(draws, side, torch.full((20,), 0.4), smallest).view(20, side, side)
    for picture in range(20):
        hidden: set[tuple[int, int]] = set()
        for attempt in range(16):
            size, shape, top, left = draws.uniform(f"block {attempt}", 4)[picture]
            missing = wanted - len(hidden)
            area = min(missing, smallest) + size * (missing - min(missing, smallest))
            aspect = (math.log(0.3) + shape * 2 * math.log(1 / 0.3)).exp()
            height = min(max(int((area * aspect).sqrt().round()), 1), side)
            width = min(max(int((area / aspect).sqrt().round()), 1), side, wanted // height)
            row, column = int(top * (side - height + 1)), int(left * (side - width + 1))
            block = {(row + i, column + j) for i in range(height) for j in range(width)}
            if len(hidden | block) <= wanted:
                hidden |= block
        assert {(i, j) for i, j in found[picture].nonzero().tolist()} == hidden


# ---- visual tokens ---------------------------------------------------------------------------------------------------


def test_the_loss_is_what_hidden_tokens_cost_and_the_tokenizers_own() -> None:
    beit, batch = beit_of(uniform=0.5), batch_of()
    (view,) = batch.views
    x = by_hand(view, format_of(3, PX)).double()
    again, q_logits = beit.tokenizer(x, batch.draws)
    hidden_BT, logits = beit.told(batch)
    nats = []
    for b in range(B):
        costs = []
        for t in range(T):
            token = max(range(6), key=q_logits[b, :, t // SIDE, t % SIDE].tolist().__getitem__)
            if hidden_BT[b, t]:
                costs.append(-math.log(logits[b, t].softmax(dim=0)[token].item()))
        nats.append(sum(costs) / len(costs))
    even = Categorical(logits=torch.zeros_like(q_logits.movedim(1, -1)))
    other = kl_divergence(Categorical(logits=q_logits.movedim(1, -1)), even).mean()
    result = beit(batch)
    assert_close(result.loss, sum(nats) / B + (again - x).square().mean() + 0.5 * other, rtol=1e-5, atol=0.0)
    assert_close(result.logs["tokens/nats"].item(), sum(nats) / B, rtol=1e-9, atol=0.0)


def test_tokens_have_no_gradient_and_the_tokenizer_learns_of_its_pictures_alone() -> None:
    beit, batch = beit_of(), batch_of()
    result = beit(batch)
    result.loss.backward()  # type: ignore[no-untyped-call]
    found = [parameter.grad for parameter in beit.tokenizer.parameters()]
    x = beit.encoder.standardise(batch.views[0])
    error = (beit.tokenizer(x, batch.draws)[0] - x).square().mean()
    expected = torch.autograd.grad(error, list(beit.tokenizer.parameters()))
    assert_close(found, list(expected))


def test_codes_are_mixed_as_torchs_gumbel_softmax_mixes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    beit, batch = beit_of(temperature=0.7), batch_of()
    x = beit.encoder.standardise(batch.views[0])
    logits = beit.tokenizer.logits(x)
    chance = batch.draws.uniform("gumbel", *logits.shape[1:]).double()
    monkeypatch.setattr(Tensor, "exponential_", lambda _: -chance.log())
    share = torch.nn.functional.gumbel_softmax(logits, tau=0.7, dim=1)
    assert_close(beit.tokenizer(x, batch.draws)[0], beit.tokenizer.decode(beit.tokenizer.codes(share)))


def test_the_largest_and_the_smallest_chance_make_a_number() -> None:
    beit, draws = beit_of().float(), Draws(torch.arange(B), "end")
    x = beit.encoder.standardise(batch_of().views[0].float())
    for end in (0.0, 1.0 - 2.0**-24):  # of what is drawn
        draws.uniform = lambda _, *shape, end=end: torch.full((B, *shape), end)  # type: ignore[method-assign,misc]
        assert beit.tokenizer(x, draws)[0].isfinite().all()


def test_tokens_come_back_as_pictures() -> None:
    beit, batch = beit_of(temperature=1e-6), batch_of()
    x = beit.encoder.standardise(batch.views[0])
    draws = Draws(torch.arange(B), "one")
    draws.uniform = lambda _, *shape: torch.full((B, *shape), 0.5)  # type: ignore[method-assign]
    assert_close(beit.tokenizer.restore(beit.tokenizer.tokens(x), SIDE), beit.tokenizer(x, draws)[0])


def test_how_many_tokens_are_in_use() -> None:
    assert perplexity(torch.zeros(2, 8, 3, 3)).item() == pytest.approx(8.0)
    one = torch.zeros(2, 8, 3, 3)
    one[:, 2] = 1000.0
    assert perplexity(one).item() == pytest.approx(1.0)
    assert divergence(torch.zeros(2, 8, 3, 3)).item() == pytest.approx(0.0, abs=1e-6)
    assert divergence(one).item() == pytest.approx(math.log(8))


@pytest.mark.parametrize(("progress", "learns"), [(0.0, True), (0.24, True), (0.25, False), (0.9, False)])
def test_the_tokenizer_learns_in_the_first_steps_only(progress: float, learns: bool) -> None:
    """In the later ones its loss is the same, and each parameter gets a gradient, of 0, as workers expect of all."""
    beit, batch = beit_of(), batch_of()
    result = beit(replace(batch, progress=progress))
    assert_close(result.loss, beit(batch).loss, rtol=0.0, atol=0.0)
    result.loss.backward()
    assert all((parameter.grad.count_nonzero() > 0) == learns for parameter in beit.tokenizer.parameters())
    beit.before_step(progress)
    assert all((parameter.grad is not None) == learns for parameter in beit.tokenizer.parameters())
    assert all(parameter.grad is not None for parameter in beit.tell.parameters())


def test_a_tokenizer_that_is_not_trained_is_one_clear_line(small_data: Data) -> None:
    rule = r"^method\.tokenizer_share 0 leaves the tokenizer untrained, whose tokens say nothing .* such as 0\.25$"
    with pytest.raises(UserError, match=rule):
        BEiTConfig(tokenizer_share=0.0).check(64, 1, small_data)


def test_defaults_are_the_papers() -> None:
    beit = BEiTConfig()
    assert (beit.mask_ratio, beit.smallest_block, beit.tokens) == (0.4, 16, 8192)
