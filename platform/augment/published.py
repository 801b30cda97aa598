"""The augmentation policies of the papers, each with the form for small images that its authors use, and one of ours.

A crop keeps the input's size: 224 pixels where the data has them, as on ImageNet. The small forms are what the authors
use at 32 pixels.
"""

from collections.abc import Mapping
from types import MappingProxyType

from unlabeled.platform.augment.color import ColorDrop, ColorJitter, Solarize
from unlabeled.platform.augment.filters import GaussianBlur
from unlabeled.platform.augment.policy import Policy
from unlabeled.platform.augment.spatial import Crop, Flip

PLAIN = Policy()
"""No augmentation: the images as they are."""

_MOCO_V1_COLOR = (ColorDrop(p=0.2), ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4, p=1.0))

MOCO_V1 = Policy(ops=(Crop(area=(0.2, 1.0)), *_MOCO_V1_COLOR, Flip()))
"""MoCo (He et al. 2019, arXiv:1911.05722, section 3.3), in the order of facebookresearch/moco, ``main_moco.py`` without
``--aug-plus``: "the same as InstDisc" (arXiv:1805.01978)."""

MOCO_V1_SMALL = MOCO_V1
"""The same. The paper has no small images; InstDisc's ``cifar.py`` (zhirongw/lemniscate.pytorch) is
this without the flip and, in its last version, with the jitter before the colour drop."""

_BLUR = GaussianBlur(sigma=(0.1, 2.0), p=0.5)

MOCO_V1_BLUR = Policy(ops=(Crop(area=(0.2, 1.0)), *_MOCO_V1_COLOR, _BLUR, Flip()))
"""MoCo v1's with MoCo v2's "extra blur augmentation" (arXiv:2003.04297, section 3) and nothing else changed. Ours: the
authors' "aug+" also weakens the colours, and their policy for small images has no blur at all."""

_MOCO_V2_JITTER = ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8)

MOCO_V2 = Policy(
    ops=(
        Crop(area=(0.2, 1.0)),
        _MOCO_V2_JITTER,
        ColorDrop(p=0.2),
        _BLUR,
        Flip(),
    )
)
"""MoCo v2's "aug+" (Chen et al. 2020, arXiv:2003.04297, section 3), in the order of ``main_moco.py --aug-plus``."""

MOCO_V2_SMALL = Policy(ops=(Crop(area=(0.08, 1.0)), Flip(), _MOCO_V2_JITTER, ColorDrop(p=0.2)))
"""The authors' CIFAR-10 demo (facebookresearch/moco, ``colab/moco_cifar10_demo.ipynb``): no blur, and smaller crops. It
comes to the same operations as SimCLR's on CIFAR-10. No form of "aug+": beside :data:`MOCO_V1_SMALL` it has the weaker
colours; what version 2 adds to version 1 is in :data:`MOCO_V1_BLUR`."""


def simclr(strength: float = 1.0, *, small: bool = False) -> Policy:
    """Make SimCLR's policy (Chen et al. 2020, arXiv:2002.05709, appendix A) with a strength of colour distortion.

    Args:
        strength: s of appendix A; section 3.2's table 1 tries 1/8 to 1.
        small: leave out the blur, as for CIFAR-10 (appendix B.9).

    Raises:
        UserError: the strength is negative or turns the hue by more than half the circle (above 2.5).
    """
    crop = Crop(area=(0.08, 1.0))
    policy = Policy(ops=(crop, Flip(), ColorJitter.of_strength(strength), ColorDrop(p=0.2)))
    return policy if small else policy.plus(_BLUR)


SIMCLR = simclr(1.0)
"""SimCLR's default on ImageNet: strength 1, with blur."""

SIMCLR_SMALL = simclr(0.5, small=True)
"""SimCLR on CIFAR-10 (appendix B.9): strength 0.5, without blur."""

_BYOL = Policy(
    ops=(
        Crop(area=(0.08, 1.0)),
        Flip(),
        ColorJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
        ColorDrop(p=0.2),
    )
)

BYOL = (_BYOL.plus(GaussianBlur(p=1.0)), _BYOL.plus(GaussianBlur(p=0.1), Solarize(p=0.2)))
"""BYOL's two policies T and T', one for each view (Grill et al. 2020, arXiv:2006.07733, appendix B)."""

VICREG = _BYOL.plus(GaussianBlur(p=0.5), Solarize(p=0.1))
"""VICReg's, the same for both views (Bardes, Ponce, LeCun 2021, arXiv:2105.04906, its appendix)."""

POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        "plain": PLAIN,
        "moco-v1": MOCO_V1,
        "moco-v1-small": MOCO_V1_SMALL,
        "moco-v1-blur": MOCO_V1_BLUR,
        "moco-v2": MOCO_V2,
        "moco-v2-small": MOCO_V2_SMALL,
        "simclr": SIMCLR,
        "simclr-small": SIMCLR_SMALL,
        "vicreg": VICREG,
    }
)
"""The published policies by the names that the command line knows."""
