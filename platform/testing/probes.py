"""What every probe of features owes those who compare its scores."""

from collections.abc import Sequence
from typing import ClassVar

import pytest
import torch

from unlabeled.platform.evaluate import FeatureProbe, Features, ProbeConfig
from unlabeled.platform.evaluate.features import NotFiniteError


class ProbeSuite:
    """Tests of probes that read pooled features and tell classes; derive a class called Test..., and set ``probes``.

    Attributes:
        probes: each with ``top1`` among its scores.
    """

    probes: ClassVar[Sequence[FeatureProbe]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test on each probe."""
        if "probe" in metafunc.fixturenames:
            metafunc.parametrize("probe", self.probes, ids=[probe.key for probe in self.probes])

    def test_tells_separable_classes_apart_and_is_at_chance_on_noise(self, probe: FeatureProbe) -> None:
        assert probe(blobs(400, 0.1), blobs(200, 0.1, seed=1))["top1"] == 1.0
        generator = torch.Generator().manual_seed(0)
        noise = [
            Features(torch.randn(n, 8, generator=generator), torch.randint(4, (n,), generator=generator))
            for n in (1000, 2000)
        ]
        assert abs(probe(*noise)["top1"] - 0.25) < 0.05

    def test_values_are_fractions_and_repeat(self, probe: FeatureProbe) -> None:
        train, test = blobs(300, 3.0), blobs(100, 3.0, seed=1)
        found = probe(train, test)
        assert set(probe.scores) <= found.keys(), "it gives what it declares"
        assert all(0.0 <= value <= 1.0 for value in found.values())
        assert 0.25 < found["top1"] < 1.0
        assert probe(train, test) == found

    def test_a_class_that_training_lacks_counts_as_wrong(self, probe: FeatureProbe) -> None:
        train, test = blobs(300, 0.1), blobs(100, 0.1, seed=1)
        assert train.labels is not None
        assert probe(train.take((train.labels < 3).nonzero()[:, 0]), test)["top1"] == 0.75

    def test_what_is_scored_does_not_depend_on_its_order(self, probe: FeatureProbe) -> None:
        train, test = blobs(300, 3.0), blobs(100, 3.0, seed=1)
        turned = test.take(torch.arange(len(test)).flip(0))
        assert probe(train, turned) == pytest.approx(probe(train, test))

    @pytest.mark.parametrize("spoiled", [float("nan"), float("inf")])
    def test_features_that_are_no_numbers_are_refused(self, probe: FeatureProbe, spoiled: float) -> None:
        train, test = blobs(300, 1.0), blobs(100, 1.0, seed=1)
        wrong = Features(test.x.clone(), test.labels)
        wrong.x[3, 2] = spoiled
        with pytest.raises(NotFiniteError):
            probe(train, wrong)
        with pytest.raises(NotFiniteError):
            probe(wrong, test)

    def test_it_is_a_value_with_a_protocol(self, probe: FeatureProbe) -> None:
        assert ProbeConfig.model_validate_json(probe.canonical_json()) == probe
        assert probe.protocol.startswith(f"{probe.name}@{probe.version}")


def blobs(num: int, spread: float, seed: int = 0, classes: int = 4, dim: int = 8) -> Features:
    """Gaussian classes around fixed centres, far from the origin and badly scaled, as features are."""
    centers = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99)) * 2.0 + 3.0
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num) % classes
    x = centers[labels] + spread * torch.randn(num, dim, generator=generator)
    return Features(x * torch.logspace(-2, 1, dim), labels)
