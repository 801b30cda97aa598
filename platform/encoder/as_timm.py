"""What timm builds one of our encoders by: the name of an architecture, and what else its constructor is given."""

from typing import Any

from unlabeled.platform.data import Format, PictureFormat
from unlabeled.platform.encoder.config import EncoderConfig
from unlabeled.platform.encoder.named import SMALL_PX, TimmConfig, fitted
from unlabeled.platform.encoder.vit import ViTConfig, heads_of
from unlabeled.platform.errors import UserError

_LIKE_OURS = "vit_base_patch16_224"  # whose every size can be set


def as_timm(config: EncoderConfig, shown: Format) -> tuple[str, dict[str, Any]]:
    """Return timm's name, and options as JSON has them, of the model inside an encoder.

    Raises:
        UserError: timm has no such model.
    """
    if isinstance(config, TimmConfig) and isinstance(shown, PictureFormat):
        origin = fitted(config.model, shown.channels, shown.image_px, config.patch_px)
        options = {"in_chans": shown.channels, "num_classes": 0, **dict(origin.options)}
        if shown.image_px < SMALL_PX and "patch_size" not in options:
            raise UserError(
                f"{config.model} has another stem here for pictures below {SMALL_PX} px, which timm can't build; "
                "export it as safetensors, torch.export or onnx"
            )
        return config.model, options
    if isinstance(config, ViTConfig) and isinstance(shown, PictureFormat):
        dim = 8 * config.width
        return _LIKE_OURS, {
            "in_chans": shown.channels,
            "num_classes": 0,
            "img_size": shown.image_px,
            "patch_size": config.patch_px,
            "embed_dim": dim,
            "depth": config.depth,
            "num_heads": heads_of(dim),
            "dynamic_img_size": True,
        }
    raise UserError(f"{config.called} is none of timm's models; export it as safetensors, torch.export or onnx")
