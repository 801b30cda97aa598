"""DINOv2 against its authors' losses in loops; blocks that are hidden, KoLeo, and pictures of components."""

import math

import pytest
import torch
from formats import plain
from sklearn.decomposition import PCA
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.distillation.components import components
from unlabeled.methods.distillation.dinov2 import DINOv2, DINOv2Config
from unlabeled.methods.distillation.ibot import Hidden
from unlabeled.methods.losses.koleo import log_distance
from unlabeled.methods.masked.blocks import blockwise_masks
from unlabeled.methods.parts import SMALL_JITTER
from unlabeled.methods.prototypes import sinkhorn
from unlabeled.platform.augment import PLAIN, Crop, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.train.built import check_built, check_fits

B, K, PX, PATCH, T = 4, 5, 24, 4, 36
VIT = ViTConfig(width=4, depth=2, patch_px=PATCH)
SMALL_CROP = SMALL_JITTER.replacing(Crop(area=(0.2, 0.5), size=16))


def small(**fields: object) -> DINOv2Config:
    views = ViewPlan(views=(SMALL_JITTER, SMALL_JITTER, SMALL_CROP))
    return DINOv2Config.checked(**{"views": views, "head": (12, 6), "prototypes": K, "frozen": 0.0, **fields})


def build(config: DINOv2Config) -> DINOv2:
    """Build it in float64, with a teacher that has gone its own way."""
    torch.manual_seed(0)
    method = config.build(VIT.build(plain(1, PX)), load(DataConfig(train_images=256))).double()
    with torch.no_grad():
        method.token.copy_(torch.randn_like(method.token))
        for parameter in method.teacher.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return method


def batch_of(sizes: tuple[int, ...] = (PX, PX, 16)) -> Batch:
    generator, rows = torch.Generator().manual_seed(0), torch.arange(B)
    views = tuple(torch.rand(B, 1, px, px, generator=generator, dtype=torch.float64) for px in sizes)
    return Batch(views=views, index=rows, draws=Draws(rows, 0))


def tokens_of(vit: torch.nn.Module, picture: Tensor, hidden: list[int], token: Tensor | None) -> Tensor:
    """Return a picture's last tokens, with some patches' embeddings put out by hand."""
    model = vit.model
    patches = model.patch_embed(vit.standardise(picture[None]))  # type: ignore[operator,union-attr]
    for place in hidden:
        patches[0, place // 6, place % 6] = token
    states = model.norm_pre(model._pos_embed(patches))  # type: ignore[operator,union-attr]
    return model.norm(model.blocks(states))[0]  # type: ignore[operator,union-attr,no-any-return]


def cross_entropy(p: Tensor, logits: Tensor) -> float:
    return -sum(float(a) * float(b) for a, b in zip(p, (logits / 0.1).log_softmax(dim=0), strict=True))


@pytest.mark.parametrize("sizes", [(PX, PX), (PX, PX, 16, 16)])
def test_the_loss_is_the_authors_three(sizes: tuple[int, ...]) -> None:
    method, batch = build(small(teacher_temperature=(0.05, 0.05))), batch_of(sizes)
    with torch.no_grad():
        drawn = Hidden.draw(batch.draws, PX // PATCH, method.config.mask_ratio)
        hidden, which = drawn.patches, drawn.crop
        encoder, head, patch_head = method.teacher.twin
        taught = [[tokens_of(encoder, crop[row], [], None) for row in range(B)] for crop in batch.views[:2]]
        p = sinkhorn(torch.stack([head(each[0]) for crop in taught for each in crop]), 0.05).view(2, B, K)
        places = [hidden[row].nonzero()[:, 0].tolist() for row in range(B)]
        rows = [patch_head(taught[int(which[row])][row][1 + at]) for row in range(B) for at in places[row]]
        of_patches = iter(sinkhorn(torch.stack(rows), 0.05))
        seen = [
            [
                tokens_of(method.encoder, crop[row], places[row] if number == which[row] else [], method.token)
                for row in range(B)
            ]
            for number, crop in enumerate(batch.views[:2])
        ]
        classes = [[each[0] for each in crop] for crop in seen]
        classes += [[method.encoder(crop[row : row + 1])[0] for row in range(B)] for crop in batch.views[2:]]
        image = [
            cross_entropy(p[g, row], method.head(classes[v][row]))
            for g in range(2)
            for v in range(len(sizes))
            for row in range(B)
            if g != v
        ]
        patch = 0.0
        for row in range(B):
            own = seen[int(which[row])][row]
            patch += sum(cross_entropy(next(of_patches), method.patch_head(own[1 + at])) for at in places[row]) / len(
                places[row]
            )
        koleo = sum(float(log_distance(torch.stack(crop))) for crop in classes[:2])
    loss = sum(image) / len(image) + patch / (2 * B) - 0.1 * koleo
    result = method(batch)
    assert_close(result.loss.item(), loss, rtol=1e-6, atol=0.0)
    assert_close(float(result.logs["patches/nats"]), patch / B, rtol=1e-6, atol=0.0)
    result.loss.backward()
    assert not any(parameter.grad is not None for parameter in method.teacher.parameters())


def test_images_are_kept_from_the_nearest_other() -> None:
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    units = [[float(v) for v in row / row.norm()] for row in x.detach()]
    nearest = [min(math.dist(a, b) for b in units if b is not a) for a in units]
    assert_close(float(log_distance(x).detach()), sum(map(math.log, nearest)) / 6)
    same = torch.ones(2, 3, requires_grad=True)
    log_distance(same).backward()  # type: ignore[no-untyped-call]
    assert same.grad is not None
    assert same.grad.isfinite().all()


@pytest.mark.parametrize("ratio", [0.01, 0.1, 0.5, 0.9])
def test_blocks_hide_about_the_share_that_is_asked(ratio: float) -> None:
    draws = Draws(torch.arange(400), 0)
    hidden = blockwise_masks(draws, 14, torch.full((400,), ratio), 4)
    counts, wanted = hidden.sum(dim=1), max(1, round(ratio * 196))
    assert int(counts.min()) >= 1
    assert int(counts.max()) <= wanted
    assert float(counts.float().mean()) > 0.8 * wanted
    assert len(hidden.unique(dim=0)) > min(300, 14**2 - 1)
    grid = hidden.view(-1, 14, 14)
    alike = (grid[:, 1:] == grid[:, :-1]).float().mean()  # of neighbours; by chance a^2 + (1 - a)^2
    share = float(counts.float().mean()) / 196
    assert float(alike) > share**2 + (1 - share) ** 2


def test_one_crop_of_each_image_has_hidden_patches_in_the_range() -> None:
    hidden = Hidden.draw(Draws(torch.arange(300), 0), 6, (0.2, 0.4))
    assert 120 < int(hidden.crop.sum()) < 180
    assert hidden.places.shape == (300, round(0.4 * T))
    assert float(hidden.patches.float().mean()) == pytest.approx(0.3, abs=0.05)
    assert torch.equal(hidden.counts.sum(dim=1), hidden.patches.sum(dim=1)), "all that are hidden have a place"
    assert torch.equal(hidden.of_crops().view(2, 300, T).any(dim=2).int().argmax(dim=0), hidden.crop)


def test_components_have_one_set_of_axes_for_all_pictures() -> None:
    torch.manual_seed(0)
    net = VIT.build(plain(1, PX)).eval()
    images = torch.rand(3, 1, PX, PX)
    with torch.no_grad():
        columns = components(net, images).columns
        grid = torch.cat([net.maps(each).grid for each in (images, columns["its middle"])])
    theirs = torch.from_numpy(PCA(3).fit_transform(grid.movedim(1, 3).flatten(0, 2).double().numpy()))
    made = torch.cat([columns["components"], columns["its components"]])[:, :, ::PATCH, ::PATCH]
    for number in range(3):
        ours, other = made[:, number].flatten().double(), theirs[:, number]
        assert abs(float(torch.corrcoef(torch.stack([ours, other]))[0, 1])) == pytest.approx(1.0, abs=1e-4)
        assert (float(ours.min()), float(ours.max())) == pytest.approx((0.0, 1.0), abs=1e-6)
    assert_close(columns["its middle"][:, :, 12, 12], images[:, :, 12, 12], rtol=0.0, atol=0.5)


def test_what_does_not_fit_is_one_clear_line(small_run: RunConfig, small_data: Data) -> None:
    run = small_run.with_field("encoder", VIT)
    for config, message in (
        (small(views=ViewPlan(views=(PLAIN,))), r"^dinov2 needs two views or more, got 1; set method\.views to a plan"),
        (small(mask_ratio=(0.5, 0.1)), r"^method\.mask_ratio \(0\.5, 0\.1\) falls; give the least share first$"),
    ):
        with pytest.raises(UserError, match=message):
            check_fits(run.with_field("method", config), small_data)
    with pytest.raises(UserError, match=r"^dinov2 needs a ViT that pools by its class token, and encoder.name is conv"):
        check_built(run.with_field("method", small()).with_field("encoder", ConvNetConfig(width=4)), small_data)
