"""What every encoder owes the methods and probes that stand on it."""

from collections.abc import Mapping
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from unlabeled.platform.data import PictureFormat, WaveFormat
from unlabeled.platform.data.format import Format
from unlabeled.platform.encoder import EncoderConfig, StandardisingEncoder
from unlabeled.platform.evaluate.layers import Block

_MEAN, _STD = (0.4, 0.5, 0.45), (0.3, 0.25, 0.2)
GREY, COLOUR = (PictureFormat(count, 32, _MEAN[:count], _STD[:count]) for count in (1, 3))
SOUND = WaveFormat(1, 4_000, 16_000.0, (0.1,), (0.5,))


class EncoderSuite:
    """Tests of kinds of encoders; derive a class whose name begins with Test, and set ``encoders``.

    Attributes:
        encoders: by name: a configuration, and what it is made for, small: :data:`GREY`, :data:`COLOUR` of 32 px, or
            :data:`SOUND`.
    """

    encoders: ClassVar[Mapping[str, tuple[EncoderConfig, Format]]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test on each encoder."""
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.encoders.values(), ids=list(self.encoders))

    @pytest.fixture
    def config(self, case: tuple[EncoderConfig, Format]) -> EncoderConfig:
        """Which encoder."""
        return case[0]

    @pytest.fixture
    def shown(self, case: tuple[EncoderConfig, Format]) -> Format:
        """What it is made for."""
        return case[1]

    @pytest.fixture
    def encoder(self, config: EncoderConfig, shown: Format) -> StandardisingEncoder:
        """One of the encoders, in eval mode."""
        return made(config, shown)

    def test_it_has_the_widths_that_it_declares(self, encoder: StandardisingEncoder, shown: Format) -> None:
        with torch.no_grad():
            pooled, grid, tokens = encoder.maps(x := some(shown))
            assert torch.equal(encoder(x), pooled)
        assert pooled.shape == (len(x), encoder.dim)
        assert (grid.ndim, grid.shape[:2]) == (x.ndim, (len(x), encoder.channels))
        places = grid.flatten(2).transpose(1, 2)
        assert torch.equal(tokens[:, -places.shape[1] :], places), "tokens end with the grid's places, row by row"
        assert pooled.isfinite().all()

    def test_its_weights_come_from_torchs_generator_alone(self, config: EncoderConfig, shown: Format) -> None:
        one, same, other = (made(config, shown, seed).state_dict() for seed in (0, 0, 1))
        assert all(torch.equal(one[name], same[name]) for name in one)
        if list(made(config, shown).parameters()):
            assert any(not torch.equal(one[name], other[name]) for name in one)

    def test_it_standardises_first(self, config: EncoderConfig, shown: Format) -> None:
        plain = type(shown)(**{**vars(shown), "mean": (0.0,) * shown.channels, "std": (1.0,) * shown.channels})
        encoder, bare, x = made(config, shown), made(config, plain), some(shown)
        column = (-1, *[1] * (len(shown.shape) - 1))
        by_hand = (x - torch.tensor(shown.mean).view(column)) / torch.tensor(shown.std).view(column)
        before = x.clone()
        with torch.no_grad():
            for found, expected in zip(encoder.maps(x), bare.maps(by_hand), strict=True):
                torch.testing.assert_close(found, expected)
        assert torch.equal(x, before), "what it is shown is not its own"

    def test_in_eval_mode_each_item_is_seen_alone(self, encoder: StandardisingEncoder, shown: Format) -> None:
        x = some(shown).double()
        encoder = encoder.double()
        with torch.no_grad():
            torch.testing.assert_close(torch.cat([encoder(each[None]) for each in x]), encoder(x))

    def test_gradients_reach_its_parameters(self, encoder: StandardisingEncoder, shown: Format) -> None:
        if not (parameters := dict(encoder.named_parameters())):
            return
        (encoder(some(shown)) * torch.randn(encoder.dim)).sum().backward()
        trained = {name: each.grad for name, each in parameters.items() if each.requires_grad}
        assert not [name for name, grad in trained.items() if grad is None or not grad.isfinite().all()]
        assert any(grad.any() for grad in trained.values() if grad is not None)  # behind a last norm of zeros all are 0

    def test_its_blocks_can_be_read(self, encoder: StandardisingEncoder, shown: Format) -> None:
        for name in encoder.blocks():
            features = Block(encoder, name)(x := some(shown))
            assert (features.ndim, len(features)) == (2, len(x))

    def test_it_is_a_value(self, config: EncoderConfig) -> None:
        assert EncoderConfig.model_validate_json(config.canonical_json()) == config
        assert type(config).kinds()[config.name] is type(config)

    def test_it_can_be_built_without_memory(self, config: EncoderConfig, shown: Format) -> None:
        with torch.device("meta"):
            assert all(each.is_meta for each in config.build(shown).parameters())


def made(config: EncoderConfig, shown: Format, seed: int = 0) -> StandardisingEncoder:
    """Return the encoder of a seed, in eval mode; torch's generator stays as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return config.build(shown).eval()


def some(shown: Format, count: int = 3) -> Tensor:
    """Return a few random items."""
    x = torch.rand(count, *shown.shape, generator=torch.Generator().manual_seed(0))
    return 2.0 * x - 1.0 if isinstance(shown, WaveFormat) else x
