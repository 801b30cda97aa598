"""Frozen features: what the encoder makes of clean pictures, in eval mode, before any projection."""

from dataclasses import dataclass

import torch
from torch import Tensor

from unlabeled.platform.augment import normalize
from unlabeled.platform.data import Data, Images
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.processor import Processor

CHUNK = 512  # pictures embedded at a time


@dataclass(frozen=True, slots=True)
class Features:
    """Features of some pictures: ``x`` float32 [N, D], and ``labels`` int64 [N] where they are known."""

    x: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.x)


@torch.no_grad()
def extract(encoder: Encoder, images: Images, data: Data, processor: Processor, at_most: int | None = None) -> Features:
    """Embed the pictures, or the first ``at_most`` of them (splits are shuffled, so these are a fair sample).

    The encoder runs in eval mode and is left in the mode it was in. Pictures without a label (-1) are left out, unless
    none has one.
    """
    was_training = encoder.training
    encoder.eval()
    index = torch.arange(len(images))
    if images.labels is not None:
        index = index[images.labels >= 0]
    index = index[:at_most]
    chunks = []
    for rows in torch.split(index, CHUNK):
        x = normalize(processor.put(images.batch(rows)).float() / 255.0, data.mean, data.std)
        with processor.autocast():
            chunks.append(encoder(processor.layout(x)).float())
    encoder.train(was_training)
    labels = None if images.labels is None else images.labels[index].to(processor.device)
    return Features(torch.cat(chunks), labels)
