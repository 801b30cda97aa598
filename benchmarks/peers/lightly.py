"""lightly's side: as the examples of its documentation train, or tuned by somebody who knows torch.

As the example: transforms of PIL pictures in a DataLoader of eight workers, which end with each epoch; a forward pass
for each view. Tuned: a worker for each core, which stays; one forward pass for both views; channels last; the number
format that the platform takes.
"""

import copy
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightly.loss import NTXentLoss
from lightly.models import utils
from lightly.models.modules import MAEDecoderTIMM, MaskedVisionTransformerTIMM
from lightly.models.modules.heads import MoCoProjectionHead, SimCLRProjectionHead
from lightly.models.utils import update_momentum
from lightly.transforms.mae_transform import MAETransform
from lightly.transforms.moco_transform import MoCoV1Transform
from lightly.transforms.simclr_transform import SimCLRTransform
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.peers.task import (
    BATCH,
    DECODER_DEPTH,
    DECODER_WIDTH,
    HEAD,
    QUEUE,
    RATE,
    TEMPERATURE,
    VIT,
    Task,
    without_end,
)
from unlabeled.platform.data.format import PictureFormat
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.processor import Processor

Training = tuple[torch.optim.Optimizer, Callable[[list[Tensor]], Tensor]]
"""An optimiser, and the loss of a batch's views."""


class Pictures(Dataset[Any]):
    """Pictures in memory as PIL's, with a transform, as torchvision's sets hand them out."""

    def __init__(self, pictures: Tensor, transform: Any) -> None:
        self.arrays, self.transform = pictures.permute(0, 2, 3, 1).contiguous().numpy(), transform

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> Any:
        return self.transform(Image.fromarray(self.arrays[index]))


class Contrastive(nn.Module):
    """The platform's encoder with lightly's head."""

    def __init__(self, head: nn.Module, px: int) -> None:
        super().__init__()
        self.backbone = ConvNetConfig().build(PictureFormat(3, px, (0.5,) * 3, (0.25,) * 3))
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Return projections."""
        projections: Tensor = self.head(self.backbone(x))
        return projections


class MAE(nn.Module):
    """lightly's masked autoencoder, as its example puts it together."""

    def __init__(self, px: int, patch_px: int) -> None:
        super().__init__()
        from timm.models.vision_transformer import VisionTransformer

        dim = 8 * VIT["width"]
        vit = VisionTransformer(
            img_size=px, patch_size=patch_px, num_classes=0, embed_dim=dim, depth=VIT["depth"], num_heads=dim // 32
        )
        self.patch_px = patch_px
        self.backbone = MaskedVisionTransformerTIMM(vit=vit)
        self.length = self.backbone.sequence_length
        self.decoder = MAEDecoderTIMM(
            num_patches=vit.patch_embed.num_patches,
            patch_size=patch_px,
            embed_dim=dim,
            decoder_embed_dim=DECODER_WIDTH,
            decoder_depth=DECODER_DEPTH,
            decoder_num_heads=DECODER_WIDTH // 32,
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return predicted patches and what they are to be."""
        batch = images.shape[0]
        kept, masked = utils.random_token_mask(size=(batch, self.length), mask_ratio=0.75, device=images.device)
        encoded = self.backbone.encode(images=images, idx_keep=kept)
        embedded = self.decoder.embed(encoded)
        tokens = utils.repeat_token(self.decoder.mask_token, (batch, self.length))
        tokens = utils.set_at_index(tokens, kept, embedded.type_as(tokens))
        decoded = utils.get_at_index(self.decoder.decode(tokens), masked)
        patches = utils.patchify(images, self.patch_px)
        return self.decoder.predict(decoded), utils.get_at_index(patches, masked - 1)


def main() -> None:
    task = Task.told()
    tuned = task.side == "lightly-tuned"
    processor = Processor.here("auto" if tuned else "fp32")
    cores = os.cpu_count() or 1
    loader = DataLoader(
        Pictures(task.pictures(), transform(task)),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=cores if tuned else 8,
        persistent_workers=tuned,
    )
    optimizer, loss_of = {"simclr": simclr, "moco": moco, "mae": mae}[task.method](task, tuned)

    def epoch() -> Iterator[None]:
        for views in loader:
            with processor.autocast():
                loss = loss_of([processor.layout(view) if tuned else view for view in views])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            loss.detach().item()
            yield

    task.serve(without_end(epoch), processor.precision)


def transform(task: Task) -> Any:
    if task.method == "mae":
        return MAETransform(input_size=task.px)
    if task.method == "moco":
        colours = {"cj_bright": 0.8, "cj_contrast": 0.8, "cj_sat": 0.8, "cj_hue": 0.2}
        return MoCoV1Transform(
            input_size=task.px, cj_prob=0.8, cj_strength=1.0, min_scale=0.08, gaussian_blur=0.0, **colours
        )
    return SimCLRTransform(input_size=task.px, gaussian_blur=0.0)


def simclr(task: Task, tuned: bool) -> Training:
    model = Contrastive(SimCLRProjectionHead(HEAD[0], HEAD[0], HEAD[1], num_layers=2, batch_norm=False), task.px)
    criterion = NTXentLoss(temperature=TEMPERATURE)

    def loss(views: list[Tensor]) -> Tensor:
        z0, z1 = model(torch.cat(views)).chunk(2) if tuned else map(model, views)
        loss: Tensor = criterion(z0, z1)
        return loss

    return sgd(model), loss


def moco(task: Task, tuned: bool) -> Training:
    model = Contrastive(MoCoProjectionHead(HEAD[0], HEAD[0], HEAD[1]), task.px)
    keys = copy.deepcopy(model)
    utils.deactivate_requires_grad(keys)
    criterion = NTXentLoss(temperature=TEMPERATURE, memory_bank_size=(QUEUE, HEAD[1]))

    def loss(views: list[Tensor]) -> Tensor:
        update_momentum(model.backbone, keys.backbone, m=0.99)
        update_momentum(model.head, keys.head, m=0.99)
        query = model(views[0])
        with torch.no_grad():
            key = keys(views[1])
        loss: Tensor = criterion(query, key)
        return loss

    return sgd(model), loss


def mae(task: Task, tuned: bool) -> Training:
    model, criterion = MAE(task.px, task.patch_px), nn.MSELoss()
    return torch.optim.AdamW(model.parameters(), lr=1.5e-4), lambda views: criterion(*model(views[0]))


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4)


if __name__ == "__main__":
    main()
