"""What is kept of a trained run: its weights, once, and what training logged. Enough to measure it again.

``encoder/`` holds the encoder as it is exported; ``method.safetensors`` the rest of the method's state beside it, and
``training.json`` the epochs. No optimiser state: the run is complete.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Format
from unlabeled.platform.encoder.weights import WEIGHTS
from unlabeled.platform.method import Method
from unlabeled.platform.train.checkpoint import write_atomically
from unlabeled.platform.train.events import Metrics
from unlabeled.platform.train.export import save_encoder

_REST, _HISTORY = "method.safetensors", "training.json"


@dataclass(frozen=True)
class History:
    """What training logged.

    Attributes:
        epochs: metrics of each epoch.
        followed: names of those of them that an evaluation gave, not the training.
        followed_by: the identity of that evaluation.
        notes: what could not be measured of them, and why.
        seconds: wall and CPU time until the last step.
        memory_mb: what training took, where it could be measured.
    """

    epochs: list[Metrics]
    followed: list[str]
    followed_by: str
    notes: list[str]
    seconds: tuple[float, float]
    memory_mb: float | None


def save(method: Method, run: RunConfig, shown: Format, history: History, folder: Path) -> None:
    """Write the folder's files; what they hold is not a checkpoint that training could go on from."""
    save_encoder(method.encoder, run, shown, folder / "encoder")
    encoder = {tensor.data_ptr() for tensor in method.encoder.state_dict().values()}
    rest = {
        name: tensor.detach().cpu().clone().contiguous()
        for name, tensor in method.state_dict().items()
        if not name.startswith("encoder.") and (tensor.data_ptr() not in encoder or not tensor.numel())
    }
    save_file(rest, folder / _REST)
    write_atomically(folder / _HISTORY, json.dumps(asdict(history)).encode())


def load(method: Method, folder: Path) -> History | None:
    """Give a method the weights that :func:`save` wrote, and return its history; None where a file is not whole.

    The method must have been built from the same settings.
    """
    try:
        encoder, rest = load_file(folder / "encoder" / WEIGHTS), load_file(folder / _REST)
        history = json.loads((folder / _HISTORY).read_text())
    except (OSError, SafetensorError, json.JSONDecodeError):
        return None
    weights = {**rest, **{f"encoder.{name}": tensor for name, tensor in encoder.items()}}
    own = method.state_dict()
    shared = {own[name].data_ptr() for name in weights if name in own}
    if any(name not in weights and tensor.data_ptr() not in shared for name, tensor in own.items()):
        return None
    method.load_state_dict(weights, strict=False)
    return History(**{**history, "seconds": tuple(history["seconds"])})
