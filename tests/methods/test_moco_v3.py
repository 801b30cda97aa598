"""MoCo v3 against its paper's pseudo-code; what is frozen of a ViT; and a large batch in parts."""

import copy

import pytest
import torch
import torch.nn.functional as F
from formats import plain
from torch import Tensor, nn
from torch.testing import assert_close

from unlabeled.methods.contrastive.moco_v3 import MoCoV3, MoCoV3Config
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.optim import AdamW
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.microbatch import cache

B, PX = 6, 16
VIT = ViTConfig(width=4, depth=1, patch_px=4)


def build(encoder: EncoderConfig | None = None, **fields: object) -> MoCoV3:
    """Build it in float64, with a copy that is not the network any more."""
    torch.manual_seed(0)
    config = MoCoV3Config.checked(**{"head": (12, 6), "predictor": (10,), "temperature": 0.3, **fields})
    shown = (encoder or ConvNetConfig(width=4)).build(plain(1, PX))
    method = config.build(shown, load(DataConfig(train_images=256))).double()
    with torch.no_grad():
        for parameter in method.key_net.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return method


def batch_of(rows: Tensor | None = None) -> Batch:
    views = torch.rand(2, B, 1, PX, PX, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = torch.arange(B) if rows is None else rows
    return Batch(views=(views[0][rows], views[1][rows]), index=rows, draws=Draws(rows, 0, 0))


def pseudo_code(method: MoCoV3, x1: Tensor, x2: Tensor) -> tuple[Tensor, list[bool]]:
    """Return algorithm 1's loss, query by query, and whether each finds its key."""
    f_q = nn.Sequential(method.encoder, method.head, method.predictor)
    q1, q2 = f_q(x1), f_q(x2)
    k1, k2 = method.key_net.twin(x1).detach(), method.key_net.twin(x2).detach()
    tau, hits = method.temperature, []

    def ctr(q: Tensor, k: Tensor) -> Tensor:
        terms = []
        for i in range(len(q)):
            scores = torch.stack([F.cosine_similarity(q[i], k[j], dim=0) / tau for j in range(len(k))])
            terms.append(-(scores[i].exp() / scores.exp().sum()).log())
            hits.append(int(scores.argmax()) == i)
        return 2 * tau * torch.stack(terms).mean()

    return ctr(q1, k2) + ctr(q2, k1), hits


@pytest.mark.parametrize("encoder", [None, VIT], ids=["convnet", "vit"])
def test_loss_and_gradients_are_the_pseudo_codes(encoder: EncoderConfig | None) -> None:
    ours, theirs = build(encoder), build(encoder)
    result = ours(batch_of())
    result.loss.backward()
    expected, hits = pseudo_code(theirs, *batch_of().views)
    expected.backward()  # type: ignore[no-untyped-call]
    assert_close(result.loss, expected, rtol=1e-10, atol=0)
    assert result.logs["contrast/top1"].item() == pytest.approx(sum(hits) / len(hits))
    for name, parameter in theirs.named_parameters():
        found = ours.get_parameter(name).grad
        assert (found is None) == (parameter.grad is None), name
        if found is not None:
            assert_close(found, parameter.grad, rtol=1e-7, atol=1e-10)


def test_its_networks_end_in_batch_norm_without_scale_and_shift() -> None:
    method = build(head=(12, 9, 6), predictor=(10,))
    widths = [[layer.out_features for layer in net if isinstance(layer, nn.Linear)] for net in _nets(method)]
    assert widths == [[12, 9, 6], [10, 6]]
    for net in _nets(method):
        *_, last = net
        assert isinstance(last, nn.BatchNorm1d)
        assert last.weight is None
        assert all(layer.bias is None for layer in net if isinstance(layer, nn.Linear))
    method(batch_of())
    made = method.head(method.encoder(batch_of().views[0]))
    assert_close(made.mean(dim=0), torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-9)


def _nets(method: MoCoV3) -> list[nn.Sequential]:
    return [net for net in (method.head, method.predictor) if isinstance(net, nn.Sequential)]


@pytest.mark.parametrize("frozen", [True, False])
def test_a_vits_patches_stay_a_random_projection(
    frozen: bool, small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    config = MoCoV3Config.example().method.with_field("frozen_patches", frozen)
    run = small_run.with_field("method", config).with_field("encoder", VIT)
    training = Training(run.with_field("optimizer", AdamW(learning_rate=1e-3)), small_data, processor)
    encoder = training.method.encoder
    before = copy.deepcopy(encoder.state_dict())
    next(training.steps())
    moved = {name for name, value in encoder.state_dict().items() if not torch.equal(before[name], value)}
    projection = {"model.patch_embed.proj.weight", "model.patch_embed.proj.bias"}
    assert (moved & projection == set()) if frozen else (projection <= moved)
    assert "model.blocks.0.attn.qkv.weight" in moved
    assert moved <= {name for name, _ in encoder.named_parameters()}


def test_a_convnet_has_no_patches_to_freeze() -> None:
    assert all(parameter.requires_grad for parameter in build().encoder.parameters())


def test_the_copy_follows_less_and_less() -> None:
    method = build(momentum=0.5)
    ours, theirs = (dict(net.named_parameters()) for net in (method.key_net.twin, _online(method)))
    name = "0.stages.0.0.weight"
    for progress, momentum in [(0.5, 0.75), (1.0, 1.0)]:
        expected = momentum * ours[name].detach().clone() + (1 - momentum) * theirs[name].detach()
        method.after_step(progress)
        assert_close(ours[name], expected)


def _online(method: MoCoV3) -> nn.Module:
    return nn.Sequential(method.encoder, method.head)


def test_a_batch_in_parts_has_the_gradient_of_the_whole() -> None:
    """With batch norm at rest, which else would see parts; what the copy makes gets no gradient."""
    whole, parts = build().eval(), build().eval()
    result = whole(batch_of())
    result.loss.backward()
    found = cache(
        parts,
        torch.arange(B).split(2),
        lambda rows, _: batch_of(rows),
        Processor(torch.device("cpu"), "fp32"),
    )
    assert_close(found.loss, result.loss.detach())
    for name, parameter in whole.named_parameters():
        assert_close(parts.get_parameter(name).grad, parameter.grad, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": 0.0}, r"temperature.*greater than 0"),
        ({"momentum": 1.5}, r"momentum.*less than or equal to 1.*1\.5"),
        ({"head": ()}, r"head.*at least 1"),
        ({"queue": 10}, r"queue"),
    ],
)
def test_what_can_not_be_is_one_clear_line(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        MoCoV3Config.checked(**fields)
    assert "\n" not in str(error.value)
