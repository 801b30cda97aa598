"""Data sets by name, always split the same way: items with named fields, fetched by index.

>>> data = load(DataConfig(name="fashion-mnist-12k", train_images=500))
>>> len(data.train), len(data.validation), len(data.test), len(data.classes)
(500, 1000, 2000, 10)
>>> sorted(data.train.fields), data.train.read(data.train.rows[:4], "image").shape
(['class', 'image'], torch.Size([4, 1, 28, 28]))
"""

from unlabeled.platform.data.catalogue import DATASETS, CatalogueEntry
from unlabeled.platform.data.channels import InChannels, with_channels
from unlabeled.platform.data.config import DataConfig
from unlabeled.platform.data.format import Format, PictureFormat, WaveFormat
from unlabeled.platform.data.images import ArrayImages, FileImages
from unlabeled.platform.data.load import Data, data_root, download, load
from unlabeled.platform.data.source import Field, Joined, Source
from unlabeled.platform.data.told import Classes, Texts

__all__ = [
    "DATASETS",
    "ArrayImages",
    "CatalogueEntry",
    "Classes",
    "Data",
    "DataConfig",
    "Field",
    "FileImages",
    "Format",
    "InChannels",
    "Joined",
    "PictureFormat",
    "Source",
    "Texts",
    "WaveFormat",
    "data_root",
    "download",
    "load",
    "with_channels",
]
