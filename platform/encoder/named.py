"""Any ResNet or ViT of timm by its name there, at any image size.

Small pictures get the stem that the papers give ResNets on CIFAR: 3x3, no stride, no pooling (SimCLR, app. B.9).

What timm calls a ResNet or a ViT is some thirty architectures. Each is run once without memory for its weights, before
it is built: what it makes of a picture, not its name, says which kind it is, how wide, and whether it can be used.
"""

import difflib
import functools
import re
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled.platform.collective.randomness import remove_dropout
from unlabeled.platform.data import Format, PictureFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder.config import TIMM, EncoderConfig
from unlabeled.platform.encoder.resnet import ResNet
from unlabeled.platform.encoder.vit import ViT, check_patches
from unlabeled.platform.errors import UserError

SMALL_PX = 64  # below it a ResNet gets the small stem and a ViT small patches
FAMILIES = (  # timm's own modules of ResNets and ViTs
    *("resnet", "resnetv2", "byobnet", "byoanet", "res2net", "resnest", "senet", "sknet"),
    *("vision_transformer", "vision_transformer_hybrid", "vision_transformer_relpos", "vision_transformer_sam"),
    *("deit", "eva", "beit", "naflexvit"),
)


class TimmConfig(EncoderConfig):
    """A ResNet or ViT of timm.

    Attributes:
        model: its name there: ``resnet18``, ``vit_tiny_patch16_224``, ``vit_small_patch16_dinov3``.
        patch_px: side of a ViT's patches; None keeps the model's own, or 4 px for small pictures.
    """

    name = TIMM
    model: str
    patch_px: int | None = Field(default=None, ge=1)

    @property
    def called(self) -> str:
        """Timm's name."""
        return self.model

    def build(self, shown: Format) -> ResNet | ViT:
        """Make it.

        Raises:
            UserError: timm has no such model, it is neither ResNet nor ViT, it can't see such pictures, or its patches
                do not divide them.
        """
        import timm  # here, because it takes seconds to import

        pictures = taken(shown, PictureFormat, self.model)
        known = timm.list_models(module=list(FAMILIES))
        if self.model not in known:
            near = ", ".join(difflib.get_close_matches(self.model, [*self.kinds(), *known], n=3, cutoff=0.4))
            raise UserError(
                f"no encoder is called {self.model!r}; near it: {near or 'convnet, resnet18'}; "
                "allowed: convnet, vit, or any timm ResNet or ViT"
            )
        origin, dim = _fitted(self.model, pictures.channels, pictures.image_px, self.patch_px)
        return _around(origin.build(), origin, pictures, dim)


class Origin(NamedTuple):
    """What an encoder of timm is built from.

    Attributes:
        name: timm's.
        channels: of the pictures.
        image_px: their side.
        options: what else its constructor is given, by name.
    """

    name: str
    channels: int
    image_px: int
    options: tuple[tuple[str, Any], ...]

    def build(self) -> Any:
        """Make timm's model without classifier and dropout, with the small stem where the pictures are small."""
        import timm  # here, because it takes seconds to import

        model: Any = timm.create_model(
            self.name, pretrained=False, num_classes=0, in_chans=self.channels, **dict(self.options)
        )
        remove_dropout(model)  # some have it by default
        if not any(hasattr(model, part) for part in ("patch_embed", "stages", "layer1")):
            raise UserError(
                f"{self.name} has neither a ResNet's stages nor a ViT's patches of one size; choose another encoder, "
                "such as resnet18 or vit_tiny_patch16_224"
            )
        if self.image_px < SMALL_PX and not hasattr(model, "patch_embed"):
            if not (hasattr(model, "conv1") and hasattr(model, "maxpool")):
                raise UserError(
                    f"{self.name} has no stem for pictures below {SMALL_PX} px, and these have {self.image_px}; choose "
                    f"another encoder, such as resnet18, or set data.image_px to {SMALL_PX} or more"
                )
            width = [layer for layer in model.conv1.modules() if isinstance(layer, nn.Conv2d)][-1].out_channels
            model.conv1 = nn.Conv2d(self.channels, width, 3, padding=1, bias=False)
            model.maxpool = nn.Identity()
        return model


def fitted(name: str, channels: int, image_px: int, patch_px: int | None) -> Origin:
    """Return what an encoder of timm is built from; raises as :meth:`TimmConfig.build`."""
    return _fitted(name, channels, image_px, patch_px)[0]


def _around(model: Any, origin: Origin, pictures: PictureFormat, dim: int | None = None) -> ResNet | ViT:
    patches = getattr(model, "patch_embed", None)
    if patches is None:
        return ResNet(pictures, model, functools.partial(measure, origin), dim)
    settable = not hasattr(patches, "backbone")
    return ViT(pictures, model, functools.partial(_check_size, origin, int(patches.feat_ratio()), settable), dim)


def _check_size(origin: Origin, patch_px: int, settable: bool, image_px: int) -> None:
    check_patches(origin.name, patch_px, image_px, settable=settable)
    measure(origin, image_px)


@functools.lru_cache(maxsize=64)
def _fitted(name: str, channels: int, image_px: int, patch_px: int | None) -> tuple[Origin, int]:
    """Find out which sizes the constructor takes, of pictures and of patches; and the width of its features."""
    options: dict[str, Any] = {"img_size": image_px, "dynamic_img_size": True}
    if patch_px is not None or image_px < SMALL_PX:
        options["patch_size"] = patch_px or 4
    while True:
        origin = Origin(name, channels, image_px, tuple(options.items()))
        try:
            with torch.device("meta"), torch.random.fork_rng(devices=[]):
                model = origin.build()
        except TypeError as error:
            unknown = re.search(r"unexpected keyword argument\S* \W*(\w+)", str(error))
            if unknown is None or unknown[1] not in options:
                raise
            del options[unknown[1]]
            continue
        patches = getattr(model, "patch_embed", None)
        if "patch_size" in options and hasattr(patches, "backbone"):  # patches of a map, not of the picture
            del options["patch_size"]
            if patch_px is None:
                continue
        if patch_px is not None and "patch_size" not in options:
            raise UserError(
                f"encoder.patch_px is for ViTs that cut the picture itself and would be ignored by {name}; leave it out"
            )
        if patches is not None and hasattr(patches, "feat_ratio"):
            check_patches(name, int(patches.feat_ratio()), image_px, settable=not hasattr(patches, "backbone"))
        return origin, _width(model, origin, image_px)


@functools.lru_cache(maxsize=64)
def measure(origin: Origin, image_px: int) -> int:
    """Return the width of the features that an encoder of timm makes of pictures of a size; it is not given memory.

    Raises:
        UserError: it fails, or what it makes is not what an encoder makes.
    """
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        model = origin.build()
    return _width(model, origin, image_px)


def _width(model: Any, origin: Origin, image_px: int) -> int:
    made: dict[str, Any] = {}
    statistics = (0.0,) * origin.channels, (1.0,) * origin.channels
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]), torch.no_grad():
            encoder = _around(model, origin, PictureFormat(origin.channels, image_px, *statistics)).eval()
            for name, block in encoder.blocks().items():
                block.register_forward_hook(functools.partial(_keep, made, name))
            maps = encoder.maps(torch.zeros(2, origin.channels, image_px, image_px))
    except UserError:
        raise
    except Exception as error:
        reason = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise _unfit(origin, image_px, reason) from error
    ndim = 3 if isinstance(encoder, ViT) else 4
    if maps.pooled.ndim != 2 or maps.grid.ndim != 4 or maps.grid.shape[1] != encoder.channels:
        raise _unfit(origin, image_px, f"it makes {[*maps.pooled.shape]} of maps {[*maps.grid.shape]}")
    for name in encoder.blocks():
        if not (isinstance(out := made.get(name), Tensor) and out.ndim == ndim):
            raise _unfit(origin, image_px, f"its {name} can't be read")
    return int(maps.pooled.shape[1])


def _keep(made: dict[str, Any], name: str, _: nn.Module, __: Any, out: Any) -> None:
    made[name] = out


def _unfit(origin: Origin, image_px: int, reason: str) -> UserError:
    return UserError(
        f"{origin.name} can't be the encoder of pictures of {image_px} px ({reason}); choose another, such as resnet18 "
        "or vit_tiny_patch16_224"
    )
