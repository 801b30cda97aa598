"""A trained encoder for others: each library loads what is written for it, and gets equal features of pixels."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from formats import format_of
from safetensors import safe_open
from torch import Tensor

from unlabeled.methods.masked.mae import MAEConfig
from unlabeled.platform.cli.hand import _OUT
from unlabeled.platform.config import RunConfig
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig, TimmConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.train.export import load_encoder, save_encoder
from unlabeled.platform.train.handed_on import FORMS, hand_on

Made = Callable[[str], Path]

ENCODERS: dict[str, tuple[EncoderConfig, int, int]] = {
    "convnet": (ConvNetConfig(width=4), 1, 28),
    "vit": (ViTConfig(width=4, depth=1), 1, 28),
    "resnet10t": (TimmConfig(model="resnet10t"), 1, 64),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_run: RunConfig) -> Made:
    """The folder of an exported encoder, by name, its batch norms' averages no longer what they begin with."""

    @functools.cache
    def of(name: str) -> Path:
        config, channels, px = ENCODERS[name]
        folder, shown = tmp_path_factory.mktemp(name), format_of(channels, px)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            encoder = config.build(shown)
            encoder(torch.rand(8, *shown.shape))
        save_encoder(encoder, small_run.with_field("encoder", config), shown, folder)
        return folder

    return of


def pixels(folder: Path) -> Tensor:
    card = json.loads((folder / "encoder.json").read_text())
    return torch.rand(5, card["channels"], card["image_px"], card["image_px"])


def same(found: Any, folder: Path, x: Tensor) -> None:
    """Compare with what the encoder makes of pixels, within what the number format allows."""
    with torch.no_grad():
        torch.testing.assert_close(torch.as_tensor(found), load_encoder(folder)(x), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_torch_and_onnx_take_pixels_in_batches_of_any_size(made: Made, tmp_path: Path) -> None:
    exported = made("vit")
    x = pixels(exported)
    assert hand_on(exported, "torch.export", tmp_path / "e.pt2") == f'torch.export.load("{tmp_path}/e.pt2").module()'
    same(torch.export.load(tmp_path / "e.pt2").module()(x), exported, x)
    how = hand_on(exported, "onnx", tmp_path / "e.onnx")
    assert how.endswith('e.onnx").run(None, {"pixels": pixels})[0]')
    session = onnxruntime.InferenceSession(str(tmp_path / "e.onnx"), providers=["CPUExecutionProvider"])
    same(session.run(None, {"pixels": x.numpy()})[0], exported, x)


@torch.no_grad()
@pytest.mark.parametrize("name", ["vit", "resnet10t"])
def test_timm_builds_and_loads_it_as_it_is_told(name: str, made: Made, tmp_path: Path) -> None:
    exported = made(name)
    x = pixels(exported)
    how = hand_on(exported, "timm", tmp_path / "e.safetensors")
    with safe_open(tmp_path / "e.safetensors", framework="pt") as file:
        told = file.metadata()
    mean, std = (torch.tensor(json.loads(told[name])).view(-1, 1, 1) for name in ("mean", "std"))
    model = eval(how, {"timm": timm}).eval()  # the line that a person is told
    same(model((x - mean) / std), exported, x)
    hand_on(exported, "hub-folder", tmp_path / "hub")
    model = timm.create_model(f"local-dir:{tmp_path / 'hub'}", pretrained=True).eval()
    np.testing.assert_allclose(model.pretrained_cfg["mean"], mean.flatten())
    same(model((x - mean) / std), exported, x)


def test_ours_is_the_same_folder_elsewhere(made: Made, tmp_path: Path) -> None:
    exported = made("convnet")
    x = pixels(exported)
    assert hand_on(exported, "safetensors", tmp_path / "there") == f"{load_encoder.__module__}." + (
        f'load_encoder("{tmp_path}/there")'
    )
    with torch.no_grad():
        same(load_encoder(tmp_path / "there")(x), exported, x)


def test_what_cannot_be_written_is_said(made: Made, tmp_path: Path, small_run: RunConfig) -> None:
    exported = made("convnet")
    for form in ("timm", "hub-folder"):
        with pytest.raises(UserError, match=r"convnet is none of timm's models; export it as safetensors, torch"):
            hand_on(exported, form, tmp_path / form)
    assert not list(tmp_path.iterdir()), "nothing is left of it"
    (tmp_path / "there").touch()
    with pytest.raises(UserError, match=r"there is there already; give another place with --out"):
        hand_on(exported, "onnx", tmp_path / "there")
    with pytest.raises(UserError, match=r"no format is called 'onx'; did you mean 'onnx'\? There are: hub-folder"):
        hand_on(exported, "onx", tmp_path / "other")
    with pytest.raises(UserError, match=r"no encoder\.json in .*; give the encoder folder"):
        hand_on(tmp_path, "onnx", tmp_path / "other")
    small, shown = TimmConfig(model="resnet10t"), format_of(3, 32)
    save_encoder(small.build(shown), small_run.with_field("encoder", small), shown, tmp_path / "small")
    with pytest.raises(UserError, match=r"resnet10t has another stem here for pictures below 64 px, which timm can't"):
        hand_on(tmp_path / "small", "timm", tmp_path / "other")
    method = MAEConfig.example().method
    run = small_run.model_copy(update={"method": method, "encoder": ViTConfig(width=4, depth=1)})
    save_encoder(method.make_encoder(run.encoder, shown), run, shown, tmp_path / "mae")
    with pytest.raises(UserError, match=r"mae looks at pictures in a way of its own, which timm does not know"):
        hand_on(tmp_path / "mae", "hub-folder", tmp_path / "other")
    assert _OUT.keys() == FORMS.keys()
