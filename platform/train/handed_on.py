"""A trained encoder in the forms that others load: timm's, PyTorch's, ONNX's.

What is in a graph takes pixels or samples as they are; of what timm loads the mean and the deviation are told beside.
"""

import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from unlabeled.platform.data import PictureFormat
from unlabeled.platform.encoder import Encoder, StandardisingEncoder
from unlabeled.platform.encoder.as_timm import as_timm
from unlabeled.platform.errors import UserError, lookup
from unlabeled.platform.method import MethodConfig
from unlabeled.platform.train.export import Card, load_encoder, read_card
from unlabeled.platform.train.whole import whole

_CARD = """---
library_name: timm
tags: [image-feature-extraction, timm]
---
# An encoder trained by Unlabeled

`timm.create_model("{name}", pretrained=True)` gives features [B, {dim}] of pixels in [0, 1], {shape}, less the mean
{mean} and over the deviation {std}, which are in `config.json`. Pretrained on {data}.
"""


def hand_on(folder: Path, form: str, out: Path) -> str:
    """Write an exported encoder in another form, and return how it is loaded, in a line of Python.

    Args:
        folder: as :func:`~unlabeled.platform.train.export.save_encoder` wrote it.
        form: one of :data:`FORMS`.
        out: a file or folder that is not there yet.

    Raises:
        UserError: there is something, or it can't be written; the encoder can't be had in this form; or a library that
            this takes is not installed.
    """
    write = lookup("format", form, FORMS)
    with whole(out) as half:
        how = write(folder, read_card(folder), load_encoder(folder), half)
    return how.format(out=out)


def _ours(folder: Path, card: Card, encoder: Encoder, out: Path) -> str:
    shutil.copytree(folder, out)
    return 'unlabeled.platform.train.export.load_encoder("{out}")'


def _timms(card: Card, encoder: Encoder) -> tuple[str, dict[str, Any], Mapping[str, torch.Tensor]]:
    """Return the architecture, its options and its weights as timm names them."""
    if type(card.method).make_encoder is not MethodConfig.make_encoder:
        raise UserError(
            f"{card.method.name} looks at pictures in a way of its own, which timm does not know; export its encoder "
            "as safetensors, torch.export or onnx"
        )
    name, options = as_timm(card.encoder, card.shown)
    model = encoder.get_submodule("model")
    return name, options, {key: tensor.contiguous() for key, tensor in model.state_dict().items()}


def _file_of_timm(folder: Path, card: Card, encoder: Encoder, out: Path) -> str:
    name, options, weights = _timms(card, encoder)
    told = {"architecture": name, "model_args": json.dumps(options), **_statistics(encoder)}
    save_file(dict(weights), out, metadata=told)
    given = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return f'timm.create_model("{name}", checkpoint_path="{{out}}", {given})'


def _hub_folder(folder: Path, card: Card, encoder: Encoder, out: Path) -> str:
    name, options, weights = _timms(card, encoder)
    assert isinstance(card.shown, PictureFormat)
    told = {key: json.loads(text) for key, text in _statistics(encoder).items()}
    about = {"input_size": card.shown.shape, **told, "num_classes": 0, "custom_load": False, "fixed_input_size": False}
    config = {"architecture": name, "num_classes": 0, "num_features": encoder.dim, "model_args": options}
    out.mkdir()
    save_file(dict(weights), out / "model.safetensors")
    (out / "config.json").write_text(json.dumps({**config, "pretrained_cfg": about}, indent=2))
    words = {"dim": encoder.dim, "shape": list(card.shown.shape), "data": card.data, **told}
    (out / "README.md").write_text(_CARD.format(name="local-dir:PATH", **words))
    return 'timm.create_model("local-dir:{out}", pretrained=True)'


def _program(folder: Path, card: Card, encoder: Encoder, out: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own parts
        program = torch.export.export(encoder, (_example(card),), dynamic_shapes=_ANY_NUMBER)
        torch.export.save(program, out.with_suffix(".pt2"))  # no other suffix is taken
    out.with_suffix(".pt2").rename(out)
    return 'torch.export.load("{out}").module()'


def _onnx(folder: Path, card: Card, encoder: Encoder, out: Path) -> str:
    try:
        import onnxscript  # noqa: F401, what torch's exporter takes; here, because few need it
    except ImportError:
        raise UserError("writing ONNX takes two more packages; pip install 'unlabeled[onnx]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            encoder,
            (_example(card),),
            str(out),
            dynamo=True,
            dynamic_shapes=_ANY_NUMBER,
            input_names=[_INPUT],
            output_names=["features"],
            external_data=False,
            verbose=False,
        )
    return f'onnxruntime.InferenceSession("{{out}}").run(None, {{{{"{_INPUT}": pixels}}}})[0]'


_INPUT = "pixels"
_ANY_NUMBER = ({0: torch.export.Dim("batch")},)
FORMS: Mapping[str, Callable[[Path, Card, Encoder, Path], str]] = {
    "safetensors": _ours,
    "timm": _file_of_timm,
    "torch.export": _program,
    "onnx": _onnx,
    "hub-folder": _hub_folder,
}
"""Form -> what writes it."""


def _example(card: Card) -> torch.Tensor:
    return torch.zeros(2, *card.shown.shape)


def _statistics(encoder: Encoder) -> dict[str, str]:
    assert isinstance(encoder, StandardisingEncoder)
    return {name: json.dumps(getattr(encoder, name).flatten().tolist()) for name in ("mean", "std")}
