"""A pretrained encoder as files: weights as safetensors, and what it takes to use them."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Format
from unlabeled.platform.data.format import FORMATS
from unlabeled.platform.encoder import Encoder, EncoderConfig
from unlabeled.platform.encoder.weights import WEIGHTS
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import MethodConfig
from unlabeled.platform.settings import Settings
from unlabeled.platform.train.checkpoint import check_weights, write_atomically

_README = """# A pretrained encoder

```python
import unlabeled.methods  # some methods' encoders look at pictures in a way of their own
from unlabeled.platform.train.export import load_encoder

encoder = load_encoder("{folder}")
features = encoder({what})  # {shown}: float [B, {shape}] in {bounds} -> [B, {dim}]
```

Pretrained on {data}. The weights are `encoder.safetensors`, the architecture `encoder.json`.
"""


class _Card(Settings):
    """The part of ``encoder.json`` that comes in kinds."""

    method: MethodConfig
    encoder: EncoderConfig


@dataclass(frozen=True)
class Card:
    """What it takes to build an exported encoder.

    Attributes:
        method: which makes it.
        encoder: the architecture.
        shown: what it was made for.
        data: the name of what it was trained on.
    """

    method: MethodConfig
    encoder: EncoderConfig
    shown: Format
    data: str


def save_encoder(encoder: Encoder, run: RunConfig, shown: Format, folder: Path) -> None:
    """Write ``encoder.safetensors``, ``encoder.json`` and a README of three lines of code."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    architecture = run.encoder.model_copy(update={"weights": None})  # it started from others, and is built without
    parts = {
        name: json.loads(part.canonical_json()) for name, part in (("encoder", architecture), ("method", run.method))
    }
    card = {**parts, "data": run.data.name, "shown": shown.kind, **asdict(shown), "dim": encoder.dim}
    write_atomically(folder / "encoder.json", json.dumps(card, indent=2).encode())
    words = {
        "what": "images" if shown.kind == "pictures" else "sounds",
        "shown": "pixels of pictures" if shown.kind == "pictures" else "samples of sounds",
        "bounds": "[0, 1]" if shown.kind == "pictures" else "[-1, 1]",
        "shape": ", ".join(map(str, shown.shape)),
    }
    readme = _README.format(folder="path/to/encoder", data=run.data.name, dim=encoder.dim, **words)
    write_atomically(folder / "README.md", readme.encode())


def load_encoder(folder: str | Path) -> Encoder:
    """Build the encoder that :func:`save_encoder` wrote, with its weights, in eval mode on the CPU.

    Raises:
        UserError: the folder lacks one of the two files, another version wrote them, or the method is not known:
            ``import unlabeled.methods``.
    """
    card = read_card(folder)
    with torch.random.fork_rng():
        encoder = card.method.make_encoder(card.encoder, card.shown)
    weights = load_file(Path(folder) / WEIGHTS)
    where = str(Path(folder) / WEIGHTS)
    check_weights(weights, encoder.state_dict(), where, "load it by that one, or export the run again")
    encoder.load_state_dict(weights)
    return encoder.eval()


def read_card(folder: str | Path) -> Card:
    """Read what :func:`save_encoder` wrote beside the weights; raises what :func:`load_encoder` does."""
    folder = Path(folder)
    for name in ("encoder.json", WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(f"no {name} in {folder}; give the encoder folder among a run's artifacts")
    try:
        card = json.loads((folder / "encoder.json").read_text())
        if (method := card["method"]["name"]) not in MethodConfig.kinds():
            raise UserError(
                f"it is of the method {method!r}, which is not known here; first import unlabeled.methods, or the file "
                "that has it"
            )
        kinds = _Card.checked(method=card["method"], encoder=card["encoder"])
        kind = FORMATS[card["shown"]]
        given = {each.name: card[each.name] for each in fields(kind)}
        shown = kind(**{**given, "mean": tuple(card["mean"]), "std": tuple(card["std"])})
    except (UserError, ValueError, KeyError, TypeError) as error:
        lacks = f"it has no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{folder / 'encoder.json'} can't be read here: {lacks}") from None
    return Card(kinds.method, kinds.encoder, shown, str(card.get("data", "")))
