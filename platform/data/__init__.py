"""Data sets by name, always split the same way, as uint8 batches.

>>> data = load(DataConfig(name="fashion-mnist-12k", train_images=500))
>>> len(data.train), len(data.validation), len(data.test), len(data.classes)
(500, 1000, 2000, 10)
>>> data.train.batch(data.train.labels.argsort()[:4]).shape
torch.Size([4, 1, 28, 28])
"""

from unlabeled.platform.data.catalogue import DATASETS, CatalogueEntry
from unlabeled.platform.data.config import DataConfig
from unlabeled.platform.data.images import ArrayImages, FileImages, Images
from unlabeled.platform.data.load import Data, PictureFormat, data_root, download, load

__all__ = [
    "DATASETS",
    "ArrayImages",
    "CatalogueEntry",
    "Data",
    "DataConfig",
    "FileImages",
    "Images",
    "PictureFormat",
    "data_root",
    "download",
    "load",
]
