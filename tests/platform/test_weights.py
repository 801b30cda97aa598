"""Weights that an encoder starts from: whose they are, what they do to a run's identity, and what is refused."""

import shutil
from pathlib import Path

import pytest
import timm
import torch
from formats import plain
from safetensors.torch import save_file

from unlabeled.methods.autoregressive.cpc import CPCConfig
from unlabeled.methods.cross_channel.split_brain import SplitBrainConfig
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.encoder import ConvNetConfig, StandardisingEncoder, TimmConfig, Weights
from unlabeled.platform.errors import UserError
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import build_method, check_built
from unlabeled.platform.train.export import load_encoder, save_encoder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, small_run: RunConfig, small_data: Data) -> Path:
    """The folder of an encoder of other weights than a run of the same seed starts from."""
    folder = tmp_path_factory.mktemp("exported")
    with torch.random.fork_rng():
        torch.manual_seed(7)
        encoder = small_run.encoder.build(small_data.format)
    save_encoder(encoder, small_run, small_data.format, folder)
    return folder


def starting(run: RunConfig, place: Path) -> RunConfig:
    return run.with_field("encoder.weights", str(place))


def test_an_encoder_starts_from_the_file_and_all_else_from_the_seed(
    small_run: RunConfig, small_data: Data, processor: Processor, exported: Path
) -> None:
    plain_start = build_method(small_run, small_data, processor).state_dict()
    found = build_method(starting(small_run, exported), small_data, processor).state_dict()
    given = load_encoder(exported).state_dict()
    for name, tensor in found.items():
        inner = name.removeprefix("encoder.")
        assert torch.equal(tensor, given[inner] if inner in given else plain_start[name]), name
    assert any(not torch.equal(found[name], plain_start[name]) for name in found)


def test_what_is_in_the_file_is_part_of_the_identity_and_its_place_is_not(
    small_run: RunConfig, exported: Path, tmp_path: Path
) -> None:
    one = starting(small_run, exported)
    shutil.copytree(exported, tmp_path / "moved")
    assert one.digest() == starting(small_run, tmp_path / "moved").digest() != small_run.digest()
    assert one.digest() == RunConfig.model_validate_json(one.canonical_json()).digest()
    assert one.with_field("encoder.weights", None).digest() == small_run.digest()
    assert "weights" not in small_run.encoder.identity()
    weights = {name: tensor + 1 for name, tensor in load_encoder(exported).state_dict().items()}
    save_file(weights, tmp_path / "moved" / "encoder.safetensors")
    assert starting(small_run, tmp_path / "moved").digest() != one.digest()


def test_weights_are_kept_where_all_see_them_and_a_changed_file_is_refused(
    small_run: RunConfig, small_data: Data, processor: Processor, exported: Path, tmp_path: Path
) -> None:
    shutil.copy(exported / "encoder.safetensors", tmp_path / "mine.safetensors")
    run = starting(small_run, tmp_path / "mine.safetensors")
    assert run.encoder.weights is not None
    kept = run.encoder.weights.kept_in(tmp_path / "home")
    weights = load_encoder(exported).state_dict()
    save_file({name: tensor + 1 for name, tensor in weights.items()}, tmp_path / "mine.safetensors")
    with pytest.raises(UserError, match=r"mine\.safetensors was changed since its checksum was taken; name it again"):
        build_method(run, small_data, processor)
    (tmp_path / "mine.safetensors").unlink()
    assert kept == run.encoder.weights.kept_in(tmp_path / "home"), "it is there already"
    there = run.model_copy(update={"encoder": run.encoder.model_copy(update={"weights": kept})})
    assert there.digest() == run.digest()
    found = build_method(there, small_data, processor).encoder.state_dict()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_a_checkpoint_of_timm_gives_timms_features_of_pixels(tmp_path: Path) -> None:
    """Its classifier is left out, and its mean and deviation are subtracted."""
    name = "resnet10t"
    origin = timm.create_model(name).eval()
    save_file(origin.state_dict(), tmp_path / "timm.safetensors")
    config = TimmConfig(model=name, weights=str(tmp_path / "timm.safetensors"))  # type: ignore[arg-type]
    encoder = config.build(plain(3, 64))
    assert config.weights is not None
    config.weights.give(encoder, name)
    x = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(origin.pretrained_cfg[each]).view(3, 1, 1) for each in ("mean", "std"))
    with torch.no_grad():
        expected = origin.forward_head(origin.forward_features((x - mean) / std), pre_logits=True)
        torch.testing.assert_close(encoder.eval()(x), expected)


@pytest.mark.parametrize("text", ["(0.5, 0.5, 0.5)", "0.5", "null", '["red"]'])
def test_a_mean_that_is_no_list_of_numbers_is_one_line(tmp_path: Path, text: str) -> None:
    origin, file = timm.create_model("resnet10t"), tmp_path / "theirs.safetensors"
    save_file(origin.state_dict(), file, metadata={"mean": text})
    config = TimmConfig(model="resnet10t", weights=str(file))  # type: ignore[arg-type]
    assert config.weights is not None
    with pytest.raises(
        UserError, match=r"^mean in the head of .*theirs\.safetensors is '.*', no list of numbers; save"
    ):
        config.weights.give(config.build(plain(3, 64)), "resnet10t")


def test_a_method_that_looks_in_its_own_way_starts_from_the_encoder_in_it(tmp_path: Path, processor: Processor) -> None:
    data = load(DataConfig(name="emoji", train_images=64))
    inner = ConvNetConfig(width=8).build(data.format)
    save_file(inner.state_dict(), tmp_path / "inner.safetensors")
    encoder = ConvNetConfig(width=8, weights=str(tmp_path / "inner.safetensors"))  # type: ignore[arg-type]
    run = RunConfig(method=CPCConfig.example().method, data=DataConfig(name="emoji"), encoder=encoder, batch_size=32)
    (made,) = (m for m in build_method(run, data, processor).encoder.modules() if isinstance(m, StandardisingEncoder))
    assert all(torch.equal(tensor, inner.state_dict()[name]) for name, tensor in made.state_dict().items())
    halves = run.model_copy(update={"method": SplitBrainConfig.example().method})
    with pytest.raises(UserError, match=r"the weights in .*inner\.safetensors are not those of convnet: "):
        build_method(halves, data, processor)  # not half of it


MISTAKES = {
    "no file": ("none.safetensors", r"there is no file \S+none\.safetensors; give a \.safetensors file"),
    "an empty folder": ("empty", r"there is no encoder\.safetensors in the folder \S+empty; give"),
    "a pickle": ("it.pt", r"\S+it\.pt is no \.safetensors file, and a pickle could run any code"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_no_file_of_weights_is_refused_when_it_is_named(
    mistake: str, small_run: RunConfig, tmp_path: Path
) -> None:
    name, line = MISTAKES[mistake]
    (tmp_path / "empty").mkdir()
    (tmp_path / "it.pt").write_bytes(b"")
    with pytest.raises(UserError, match=f"^encoder.weights: {line}"):
        starting(small_run, tmp_path / name)


def test_weights_of_another_encoder_are_refused_before_anything_is_trained(
    small_run: RunConfig, small_data: Data, exported: Path, tmp_path: Path
) -> None:
    wide = starting(small_run.with_field("encoder.width", 12), exported)
    line = r"are not those of convnet: stages\.0\.0\.weight has shape \[8, 1, 3, 3\], not \[12, 1, 3, 3\] and 19 more; "
    with pytest.raises(UserError, match=line):
        check_built(wide, small_data)
    weights = load_encoder(exported).state_dict()
    del weights["std"]
    save_file({**weights, "more": torch.zeros(1)}, tmp_path / "odd.safetensors")
    with pytest.raises(UserError, match=r"convnet: std is missing; more is not one of its weights; name the encoder"):
        check_built(starting(small_run, tmp_path / "odd.safetensors"), small_data)
    (tmp_path / "torn.safetensors").write_bytes((exported / "encoder.safetensors").read_bytes()[:100])
    with pytest.raises(UserError, match=r"torn\.safetensors can't be read as safetensors \(.*\); fetch it again"):
        check_built(starting(small_run, tmp_path / "torn.safetensors"), small_data)
    other = load(DataConfig(name="emoji"))
    with pytest.raises(UserError, match=r"mean has shape \[1, 1, 1\], not \[3, 1, 1\].*size and channels"):
        check_built(starting(small_run, exported), other)


def test_an_exported_encoder_does_not_name_what_it_started_from(
    small_run: RunConfig, small_data: Data, processor: Processor, exported: Path, tmp_path: Path
) -> None:
    run = starting(small_run, exported)
    save_encoder(build_method(run, small_data, processor).encoder, run, small_data.format, tmp_path)
    assert str(exported) not in (tmp_path / "encoder.json").read_text()
    assert load_encoder(tmp_path).dim == 64


def test_the_channels_of_weights_are_seen_without_building_anything(exported: Path, tmp_path: Path) -> None:
    assert Weights.model_validate(str(exported)).channels == 1
    save_file({"stem.weight": torch.zeros(4, 3, 7, 7), "fc.weight": torch.zeros(2, 4)}, tmp_path / "w.safetensors")
    assert Weights.model_validate(str(tmp_path / "w.safetensors")).channels == 3
    depthwise = {"a.weight": torch.zeros(4, 1, 3, 3), "stem.weight": torch.zeros(4, 3, 7, 7)}
    save_file(depthwise, tmp_path / "d.safetensors")
    assert Weights.model_validate(str(tmp_path / "d.safetensors")).channels == 3, "whichever comes first"
