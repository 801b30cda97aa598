"""SimCLR v2: the loss of its parts, what is kept of the head; and a teacher, then its student."""

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from formats import plain
from safetensors.torch import save_file
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.contrastive.simclr_v2 import SimCLRV2, SimCLRV2Config
from unlabeled.methods.distillation.simclr_v2_distillation import SimCLRV2Distillation, SimCLRV2DistillationConfig
from unlabeled.methods.few_labels import labelled_beside
from unlabeled.methods.losses import nt_xent
from unlabeled.methods.parts import SMALL
from unlabeled.platform.augment import Crop, ViewPlan
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.processor import Processor
from unlabeled.platform.testing.examples import run_of
from unlabeled.platform.train.built import build_method
from unlabeled.platform.train.loop import Training

B, PX, CLASSES = 5, 16, 4
DISTIL = SimCLRV2DistillationConfig.example()


def images_of(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, PX, PX, generator=generator, dtype=torch.float64)


def pretrained(**fields: object) -> SimCLRV2:
    torch.manual_seed(0)
    config = SimCLRV2Config.checked(**{"head": (12, 9, 6), "temperature": 0.3, **fields})
    encoder = config.make_encoder(ConvNetConfig(width=4), plain(1, PX))
    return config.build(encoder, load(DataConfig(train_images=256))).double()


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_what_is_kept_of_the_head_changes_nothing_of_the_loss(kept: int) -> None:
    method, views = pretrained(kept=kept), (images_of(B), images_of(B, 1))
    batch = Batch(views=views, index=torch.arange(B), draws=Draws(torch.arange(B), 0))
    found = method(batch).loss
    x = torch.cat(views)
    trunk = method.layers().get("trunk", method.encoder)
    h = trunk(x)
    linears = [part for part in method.modules() if isinstance(part, torch.nn.Linear)]
    assert [part.out_features for part in linears] == [12, 9, 6]
    for linear in linears[:-1]:
        z = h @ linear.weight.T
        h = ((z - z.mean(dim=0)) / (z.var(dim=0, correction=0) + 1e-5).sqrt()).relu()
    z = h @ linears[-1].weight.T
    z = (z - z.mean(dim=0)) / (z.var(dim=0, correction=0) + 1e-5).sqrt()
    assert_close(found, nt_xent(*z.chunk(2), 0.3), rtol=1e-9, atol=0)


@pytest.mark.parametrize(("kept", "dim", "layers"), [(0, 32, {"head"}), (1, 12, {"head", "trunk"})])
def test_what_is_kept_is_what_probes_read(kept: int, dim: int, layers: set[str]) -> None:
    method = pretrained(kept=kept).eval()
    assert method.encoder.dim == dim
    assert set(method.layers()) == layers
    maps = method.encoder.maps(images_of(2))
    assert maps.pooled.shape == (2, dim)
    assert maps.grid.shape[1] == method.encoder.channels == 32
    assert list(method.encoder.blocks()) == ["block1", "block2", "block3", "block4"]
    if kept:
        assert method.layers()["trunk"](images_of(2)).shape == (2, 32)
        assert (maps.pooled >= 0).all()


def test_a_head_can_not_be_kept_whole() -> None:
    with pytest.raises(UserError, match=r"kept 3 leaves nothing of a head of 3; keep 2 or fewer"):
        SimCLRV2Config.checked(kept=3)


# ---- distillation --------------------------------------------------------------------------------------------------


def distillation(**fields: object) -> SimCLRV2Distillation:
    torch.manual_seed(0)
    config = SimCLRV2DistillationConfig.checked(**{"head": (12,), "temperature": 0.7, **fields})
    encoder = config.make_encoder(ConvNetConfig(width=4), plain(1, PX))
    return SimCLRV2Distillation(config, encoder, CLASSES).double()


def labelled_batch() -> Batch:
    labelled = Batch(
        views=(images_of(3, 1),),
        index=torch.arange(3),
        draws=Draws(torch.arange(3), 0),
        targets={"class": torch.tensor([0, 3, 1])},
    )
    rows = torch.arange(B)
    return Batch(views=(images_of(B),), index=rows, draws=Draws(rows, 0), streams={"labelled": labelled})


@pytest.mark.parametrize("alpha", [1.0, 0.4])
def test_the_loss_is_the_papers(alpha: float) -> None:
    method, batch = distillation(alpha=alpha).eval(), labelled_batch()
    with torch.no_grad():
        for linear in (method.says, method.classifier):
            linear.weight.mul_(30.0)
    (view,), labelled = batch.views, batch.streams["labelled"]
    (shown,), classes = labelled.views, labelled.targets["class"].tolist()
    says, student = (lambda x: method.says(method.teacher(x))), (lambda x: method.classifier(method.encoder(x)))
    learns = torch.stack([-says(shown)[i].log_softmax(dim=0)[c] for i, c in enumerate(classes)]).mean()
    told = -sum(
        p * q
        for i in range(B)
        for p, q in zip((says(view)[i] / 0.7).softmax(0), (student(view)[i] / 0.7).log_softmax(0), strict=True)
    )
    known = torch.stack([-(student(shown)[i] / 0.7).log_softmax(dim=0)[c] for i, c in enumerate(classes)]).mean()
    expected = learns + alpha * told / B + (1 - alpha) * known
    assert_close(method(batch).loss, expected, rtol=1e-9, atol=0)


def test_the_students_loss_does_not_teach_the_teacher() -> None:
    method, batch = distillation(), labelled_batch()
    method(batch).loss.backward()
    alone = distillation()
    F.cross_entropy(alone.says(alone.teacher(batch.streams["labelled"].views[0])), torch.tensor([0, 3, 1])).backward()
    for name, parameter in alone.teacher.named_parameters():
        assert_close(method.teacher.get_parameter(name).grad, parameter.grad, rtol=1e-9, atol=1e-14)


def test_the_teacher_learns_for_a_while_and_the_student_goes_on(small_data: Data, processor: Processor) -> None:
    training = Training(run_of(DISTIL, epochs=2), small_data, processor)
    method, half = training.method, training.total_steps // 2

    def weights() -> dict[str, Tensor]:
        return {name: value.clone() for name, value in method.state_dict().items()}  # batch norms' statistics, too

    before = weights()
    for step in training.steps():
        if step in (half, training.total_steps):
            now = weights()
            moved = {name.split(".")[0] for name, value in now.items() if not torch.equal(value, before[name])}
            assert moved == {"encoder", "classifier", *(("teacher", "says") if step == half else ())}
            before = now


def test_both_start_from_the_weights_that_were_pretrained(
    tmp_path: Path, small_data: Data, processor: Processor
) -> None:
    """With the layer of the head that was kept; another width of it is a mistake."""
    start = SimCLRV2Config(head=(64, 32, 16)).make_encoder(ConvNetConfig(width=8), small_data.format)
    save_file({name: value.contiguous() for name, value in start.state_dict().items()}, tmp_path / "w.safetensors")
    run = run_of(DISTIL, encoder=ConvNetConfig(width=8, weights=tmp_path / "w.safetensors"))
    method = build_method(run, small_data, processor)
    assert isinstance(method, SimCLRV2Distillation)
    for encoder in method.encoders().values():
        assert torch.equal(encoder.state_dict()["layers.0.weight"], start.state_dict()["layers.0.weight"])
    with pytest.raises(UserError, match=r"layers\.0\.weight has shape \[64, 64\], not \[48, 64\]"):
        build_method(run.with_field("method.head", (48,)), small_data, processor)


def test_the_teacher_is_left_in_the_mode_it_was_in() -> None:
    method = distillation()
    before = copy.deepcopy(method.teacher.state_dict())
    method.train()(labelled_batch())
    assert method.teacher.training
    moved = [name for name, value in method.teacher.state_dict().items() if not torch.equal(before[name], value)]
    assert moved, "it learns the statistics of labelled pictures"


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (ViewPlan(views=(SMALL,)), r"^simclr-v2-distillation needs a stream of method\.views called 'labelled'"),
        (
            labelled_beside((SMALL,), SMALL.replacing(Crop(size=20)), beside=2, per_class=20),
            r"^all views of simclr-v2-distillation go through the encoder together, and have sides of 20, 28 px; set",
        ),
    ],
)
def test_it_needs_labelled_pictures_of_the_others_size(views: ViewPlan, message: str, small_data: Data) -> None:
    with pytest.raises(UserError, match=message):
        SimCLRV2DistillationConfig(views=views).check(64, 1, small_data)
