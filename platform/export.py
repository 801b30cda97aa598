"""A pretrained encoder as files: weights as safetensors, and what it takes to use them."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from unlabeled.platform.checkpoint import write_atomically
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder, EncoderConfig
from unlabeled.platform.errors import UserError

_README = """# A pretrained encoder

```python
from unlabeled.platform.export import load_encoder
encoder = load_encoder("{folder}")
features = encoder(images)  # float [B, {channels}, {image_px}, {image_px}], (pixels / 255 - mean) / std -> [B, {dim}]
```

mean {mean}, std {std}; pretrained on {data}. The weights are `encoder.safetensors`, the architecture `encoder.json`.
"""


def save_encoder(encoder: Encoder, config: EncoderConfig, data: Data, folder: Path) -> None:
    """Write ``encoder.safetensors``, ``encoder.json`` and a README of three lines of code."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    save_file(weights, folder / "encoder.safetensors")
    shape = {
        "channels": data.channels,
        "image_px": data.image_px,
        "mean": data.mean,
        "std": data.std,
        "dim": encoder.dim,
    }
    card = {"encoder": config.model_dump(mode="json"), "data": data.name, **shape}
    write_atomically(folder / "encoder.json", json.dumps(card, indent=2).encode())
    write_atomically(folder / "README.md", _README.format(folder="path/to/encoder", data=data.name, **shape).encode())


def load_encoder(folder: str | Path) -> Encoder:
    """Build the encoder that :func:`save_encoder` wrote, with its weights, in eval mode on the CPU.

    Raises:
        UserError: the folder lacks one of the two files.
    """
    folder = Path(folder)
    for name in ("encoder.json", "encoder.safetensors"):
        if not (folder / name).is_file():
            raise UserError(f"no {name} in {folder}; give the encoder folder among a run's artifacts")
    card = json.loads((folder / "encoder.json").read_text())
    with torch.random.fork_rng():
        encoder = EncoderConfig(**card["encoder"]).build(card["channels"], card["image_px"])
    encoder.load_state_dict(load_file(folder / "encoder.safetensors"))
    return encoder.eval()
