"""Probes find on a GPU what they find on a CPU."""

import torch

from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.data.format import PictureFormat
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.evaluate import KNN, Features, Linear, extract
from unlabeled.platform.processor import Processor


def small() -> Data:
    return load(DataConfig(name="fashion-mnist-12k", train_images=1000))


def test_features_are_a_cpus(gpu: Processor) -> None:
    data = small()
    assert isinstance(data.format, PictureFormat)
    torch.manual_seed(0)
    encoder = ConvNetConfig(width=8).build(data.format)
    expected = extract(encoder, data.validation, Processor(torch.device("cpu"), "fp32"), field=data.field)
    found = extract(encoder.to(gpu.device), data.validation, gpu, field=data.field)
    torch.testing.assert_close(found.x.cpu(), expected.x.cpu(), rtol=1e-3, atol=1e-4)


def test_knn_and_linear_probe_score_what_a_cpu_scores(gpu: Processor) -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(10, 32, generator=generator)
    labels = torch.randint(10, (2000,), generator=generator)
    x = centres[labels] + 1.5 * torch.randn(2000, 32, generator=generator)

    def scored(device: torch.device) -> list[float]:
        train, test = (
            Features(x[rows].to(device), labels[rows].to(device)) for rows in (slice(1500), slice(1500, None))
        )
        return [probe(train, test)["top1"] for probe in (KNN(), Linear())]

    for ours, theirs in zip(scored(gpu.device), scored(torch.device("cpu")), strict=True):
        assert abs(ours - theirs) <= 0.004
