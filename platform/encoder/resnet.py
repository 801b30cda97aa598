"""ResNets of timm."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from unlabeled.platform.data import PictureFormat
from unlabeled.platform.encoder.encoder import Maps, StandardisingEncoder, numbered


class ResNet(StandardisingEncoder):
    """A ResNet of timm without its classifier.

    Args:
        pictures: what it sees.
        model: timm's, without a classifier.
        fits: raises UserError where the model, or its way of pooling, can't take pictures of a side.
        dim: width of its features, where it isn't its last map's.
    """

    def __init__(
        self, pictures: PictureFormat, model: Any, fits: Callable[[int], object], dim: int | None = None
    ) -> None:
        super().__init__(pictures, dim or model.num_features, channels=model.num_features)
        self.model, self.fits = model, fits

    def maps(self, x: Tensor) -> Maps:
        """Return the last stage's grid, and the features as the model pools them."""
        grid = self.model.forward_features(self.standardise(x))
        return Maps.of_grid(self.model.forward_head(grid, pre_logits=True), grid)

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return the stages."""
        model = self.model
        if hasattr(model, "stages"):
            return numbered(model.stages)
        return numbered([model.layer1, model.layer2, model.layer3, model.layer4])

    def check_size(self, image_px: int) -> None:
        """Raise UserError where the model is made for one size."""
        self.fits(image_px)
