"""CLIP against its paper's figure 3, and its parts alone: bytes, the text's tower, the temperature."""

import math
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from formats import plain
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.multimodal.clip import CLIP, CLIPConfig, image_text_contrast
from unlabeled.methods.multimodal.text import BEGIN, END, PAD, TextTower, tokenize
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, EmbeddingMethod, ImageTextMethod
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import check_fits
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.microbatch import cache

TEXTS = ("DOG FACE", "Åland Islands Flag", "", "ROCKET", "日本", "DOG", "a much longer caption than the others")
B = len(TEXTS)


def small(**fields: object) -> CLIPConfig:
    settings = {"embedding": 6, "context": 20, "text_width": 8, "text_depth": 2, "text_heads": 2, **fields}
    return CLIPConfig.checked(**settings)


def build(config: CLIPConfig) -> CLIP:
    """Build CLIP in float64."""
    torch.manual_seed(0)
    data = load(DataConfig(train_images=256))
    return config.build(ConvNetConfig(width=4).build(plain(1, 16)), data).double()


def batch_of(captions: Sequence[str] = TEXTS) -> Batch:
    rows = torch.arange(len(captions))
    views = torch.randn(len(rows), 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Batch(views=(views,), index=rows, draws=Draws(rows, 0, 0), targets={"text": list(captions)})


def units(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


# ---- the loss ------------------------------------------------------------------------------------------------------


def figure_3(image: Tensor, text: Tensor, t: Tensor) -> Tensor:
    """Return the loss of the pseudo-code, term by term."""
    n, total = len(image), torch.zeros((), dtype=torch.float64)
    for i in range(n):
        of_image = torch.stack([image[i] @ text[j] * t.exp() for j in range(n)])
        of_text = torch.stack([text[i] @ image[j] * t.exp() for j in range(n)])
        total = total - (of_image[i].exp() / of_image.exp().sum()).log() / 2
        total = total - (of_text[i].exp() / of_text.exp().sum()).log() / 2
    return total / n


@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0])
def test_loss_and_gradients_are_figure_3s(temperature: float) -> None:
    ours, theirs = [
        (
            units(B, 5).requires_grad_(),
            units(B, 5, seed=1).requires_grad_(),
            torch.tensor(-math.log(temperature), dtype=torch.float64, requires_grad=True),
        )
        for _ in range(2)
    ]
    image, text, t = ours
    contrast, expected = image_text_contrast(image, text, t.exp()), figure_3(*theirs)
    assert_close(contrast.loss, expected, rtol=1e-10, atol=1e-12)
    contrast.loss.backward()
    expected.backward()  # type: ignore[no-untyped-call]
    for actual, right in zip(ours, theirs, strict=True):
        assert_close(actual.grad, right.grad, rtol=1e-9, atol=1e-12)
    assert_close(contrast.information_bound, math.log(B) - expected.detach())


def test_the_loss_is_the_same_with_pictures_and_texts_swapped() -> None:
    image, text, scale = units(B, 5), units(B, 5, seed=1), torch.tensor(10.0, dtype=torch.float64)
    one, other = image_text_contrast(image, text, scale), image_text_contrast(text, image, scale)
    for ours, theirs in zip(one, other, strict=True):
        assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_the_losss_limits() -> None:
    scale = torch.tensor(100.0, dtype=torch.float64)
    apart = torch.eye(4, dtype=torch.float64)
    assert image_text_contrast(apart, apart, scale).loss < 1e-40
    same = apart[:1].expand(4, -1).contiguous()
    collapsed = image_text_contrast(same, same, scale)
    assert_close(collapsed.loss, torch.tensor(math.log(4.0), dtype=torch.float64))
    assert_close(collapsed.information_bound, torch.zeros((), dtype=torch.float64), rtol=0.0, atol=1e-12)
    assert collapsed.top1 == 0.0


def test_two_pairs_of_one_caption_stay_each_others_negatives() -> None:
    """The best that is left is to guess between the two, in the pictures' direction."""
    text = torch.eye(3, dtype=torch.float64)[[0, 0, 1, 2]]
    contrast = image_text_contrast(text, text, torch.tensor(100.0, dtype=torch.float64))
    assert_close(contrast.loss, torch.tensor(math.log(2.0) / 2, dtype=torch.float64))
    assert contrast.top1 == 0.5


def test_the_loss_is_in_float32_whatever_the_embeddings_are() -> None:
    image, text = units(B, 64), units(B, 64, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = image_text_contrast(image.bfloat16(), text.bfloat16(), torch.tensor(100.0)).loss
    assert loss.dtype == torch.float32
    expected = image_text_contrast(image.bfloat16().double(), text.bfloat16().double(), torch.tensor(100.0).double())
    assert_close(loss.double(), expected.loss, rtol=1e-5, atol=1e-5)


def test_the_whole_is_the_towers_and_figure_3() -> None:
    clip, batch = build(small()), batch_of()
    image = F.normalize(clip.encoder(batch.views[0]) @ clip.head.weight.T, dim=1)
    text = F.normalize(clip.text(tokenize(TEXTS, 20)) @ clip.text_head.weight.T, dim=1)
    result = clip(batch)
    assert_close(result.loss, figure_3(image, text, clip.log_scale), rtol=1e-10, atol=1e-12)
    assert_close(result.logs["contrast/temperature"], torch.tensor(0.07, dtype=torch.float64))
    assert_close(clip.embed_images(batch.views[0]).norm(dim=1), torch.ones(B, dtype=torch.float64))
    assert_close(clip.embed_texts(TEXTS).norm(dim=1), torch.ones(B, dtype=torch.float64))


def test_it_is_both_kinds_of_method() -> None:
    clip = build(small())
    assert isinstance(clip, EmbeddingMethod)
    assert isinstance(clip, ImageTextMethod)
    assert clip.cut == "cached"


def test_micro_batches_give_the_whole_batchs_gradient(processor: Processor) -> None:
    config = small()
    whole, parts = (build(config).eval() for _ in range(2))  # so that batch norm doesn't see the batch
    batch = batch_of(TEXTS[:6])

    def make_batch(rows: Tensor, with_views: bool) -> Batch:
        views = (batch.views[0][rows],) if with_views else ()
        return Batch(
            views=views, index=rows, draws=Draws(rows, 0, 0), targets={"text": [TEXTS[i] for i in rows.tolist()]}
        )

    expected = whole(batch)
    expected.loss.backward()
    result = cache(parts, torch.arange(6).split(2), make_batch, processor)
    assert_close(result.loss, expected.loss.detach(), rtol=1e-12, atol=1e-12)
    for name, parameter in whole.named_parameters():
        assert_close(parts.get_parameter(name).grad, parameter.grad, rtol=1e-8, atol=1e-10, msg=name)


# ---- the temperature -----------------------------------------------------------------------------------------------


def test_the_scale_of_the_logits_never_exceeds_100() -> None:
    clip = build(small(temperature=0.01))
    for moved, kept in ((1.0, 100.0), (-1.0, 100.0 / math.e)):
        with torch.no_grad():
            clip.log_scale.fill_(math.log(100.0) + moved)
        clip.after_step(0.5)
        assert_close(clip.log_scale.exp().item(), kept)
    clip(batch_of()).loss.backward()
    assert clip.log_scale.grad is not None
    assert clip.log_scale.grad != 0.0, "at the limit it can still come back"


@pytest.mark.parametrize("learned", [True, False])
def test_the_temperature_moves_only_if_it_is_learned(small_run: RunConfig, processor: Processor, learned: bool) -> None:
    method = small(learn_temperature=learned, temperature=0.2)
    data = DataConfig(name="emoji", train_images=128)
    run = small_run.with_field("method", method).with_field("data", data).with_field("epochs", 1)
    training = Training(run, load(data), processor)
    for _ in training.steps():
        pass
    clip = training.method
    assert isinstance(clip, CLIP)
    assert (abs(clip.log_scale.item() + math.log(0.2)) > 1e-6) == learned


# ---- bytes ---------------------------------------------------------------------------------------------------------


def read(row: Tensor) -> str:
    """Decode what stands between begin and end."""
    tokens = row.tolist()
    return bytes(tokens[1 : tokens.index(END)]).decode(errors="replace")


def test_tokens_are_begin_lower_cased_bytes_end_and_padding() -> None:
    tokens = tokenize(TEXTS, context=76)
    longest = max(len(text.lower().encode()) for text in TEXTS) + 2
    assert tokens.shape == (B, longest)
    for row, text in zip(tokens, TEXTS, strict=True):
        length = len(text.lower().encode())
        assert read(row) == text.lower()
        assert row[0] == BEGIN
        assert row[length + 1] == END
        assert (row[length + 2 :] == PAD).all()


@pytest.mark.parametrize("context", [3, 4, 8])
def test_a_long_text_is_cut_and_keeps_its_end(context: int) -> None:
    tokens = tokenize(["ROCKET", "日本"], context)
    assert tokens.shape == (2, context)
    assert read(tokens[0]) == "rocket"[: context - 2]
    assert tokens[1, 1:-1].tolist() == list("日本".encode()[: context - 2]), "a character of several bytes may be cut"
    assert tokens[:, -1].tolist() == [END, END]


def test_every_caption_of_the_data_survives() -> None:
    emoji = load(DataConfig(name="emoji")).train
    captions = emoji.read(emoji.rows, "text")
    assert [read(row) for row in tokenize(captions, context=80)] == [caption.lower() for caption in captions]


# ---- the text's tower ----------------------------------------------------------------------------------------------


def tower(context: int = 40) -> TextTower:
    torch.manual_seed(0)
    return TextTower(context, width=8, depth=2, heads=2).double()


def test_padding_changes_nothing() -> None:
    text_tower, tokens = tower(), tokenize(TEXTS[:4], 40)
    longer = F.pad(tokens, (0, 40 - tokens.shape[1]), value=PAD)
    assert_close(text_tower(longer), text_tower(tokens), rtol=1e-12, atol=1e-12)
    noise = torch.where(longer == PAD, 7, longer)
    assert_close(text_tower(noise), text_tower(tokens), rtol=1e-12, atol=1e-12)


def test_a_text_is_read_alike_in_any_company_and_order() -> None:
    text_tower = tower()
    together = text_tower(tokenize(TEXTS, 40))
    order = torch.randperm(B, generator=torch.Generator().manual_seed(0))
    shuffled = text_tower(tokenize([TEXTS[i] for i in order], 40))
    assert_close(shuffled, together[order], rtol=1e-12, atol=1e-12)
    for text, feature in zip(TEXTS, together, strict=True):
        assert_close(text_tower(tokenize([text], 40))[0], feature, rtol=1e-12, atol=1e-12)


def test_order_and_every_byte_of_a_text_matter_and_its_case_does_not() -> None:
    text_tower = tower()
    features = text_tower(tokenize(["abc", "acb", "bbc", "abd", "ABC"], 40))
    for other in features[1:4]:
        assert not torch.allclose(features[0], other, atol=1e-4)
    assert_close(features[0], features[4], rtol=1e-12, atol=1e-12)


def test_attention_is_masked_and_is_torchs() -> None:
    """Against torch's own multi-head attention with a causal mask and the same weights."""
    block = tower().blocks[0]
    x = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True).double()
    theirs.in_proj_weight, theirs.in_proj_bias = block.query_key_value.weight, block.query_key_value.bias
    theirs.out_proj.weight, theirs.out_proj.bias = block.mix.weight, block.mix.bias
    normed, mask = block.attention_norm(x), torch.ones(5, 5, dtype=torch.bool).triu(1)
    after = x + theirs(normed, normed, normed, attn_mask=mask, need_weights=False)[0]
    assert_close(block(x), after + block.perceptron(block.perceptron_norm(after)), rtol=1e-10, atol=1e-12)


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text_heads": 3}, r"text_heads 3 does not divide text_width 8"),
        ({"temperature": 0.001}, r"temperature: Input should be greater than or equal to 0\.01, got 0\.001"),
        ({"context": 2}, r"context: Input should be greater than or equal to 3, got 2"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**fields)


def test_data_without_captions_is_refused(small_run: RunConfig, small_data: Data) -> None:
    with pytest.raises(
        UserError, match=r"clip needs the field 'text', and fashion-mnist-12k has only image, class; .* as emoji"
    ):
        check_fits(small_run.with_field("method", small()), small_data)


def test_pictures_and_texts_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"image and text must be floating \[B, D\] of one shape"):
        image_text_contrast(units(3, 5), units(3, 4), torch.tensor(1.0))
