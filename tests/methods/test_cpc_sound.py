"""CPC on sounds: the loss by its equations, what a context may hear, and what is refused."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.autoregressive.cpc_sound import CPCSoundConfig, heard
from unlabeled.methods.autoregressive.prediction import CPC, contexts, rows_of
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import EncoderConfig, MFCCConfig, WaveConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.train.built import check_built, check_fits

B, S = 3, 120
ENCODER = WaveConfig(width=6, kernels=(8, 4), strides=(4, 4))  # 20 samples each 16: seven moments


@pytest.fixture(scope="module")
def films() -> Data:
    return load(DataConfig(name="emoji-films", train_images=256)).showing("wave")


def build(films: Data, **fields: object) -> CPC:
    torch.manual_seed(0)
    config = CPCSoundConfig.checked(**{"views": heard(S), "num_steps": 2, "context": 5, **fields})
    return config.build(ENCODER.build(films.format), films).double()


def batch_of() -> Batch:
    waves = torch.rand(B, 1, S, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    rows = torch.arange(B)
    return Batch(views=(waves,), index=rows, draws=Draws(rows, 0, 0))


def test_the_loss_is_equation_4_over_all_moments_of_all_sounds(films: Data) -> None:
    cpc, batch = build(films), batch_of()
    z = cpc.encoder.maps(batch.views[0]).grid.transpose(1, 2)  # [B, t, D]
    moments = z.shape[1]
    assert moments == 1 + (S - 20) // 16
    losses, right = [], []
    for k in (1, 2):
        terms, hits = [], []
        for b in range(B):
            c = cpc.gru(z[b])[0]
            for t in range(moments - k):
                score = z.flatten(0, 1) @ (cpc.predict[k - 1].weight @ c[t])  # of eq. 3
                place = b * moments + t + k
                terms.append(-score.log_softmax(dim=0)[place])
                hits.append(bool(score[place] > torch.cat([score[:place], score[place + 1 :]]).max()))
        losses.append(torch.stack(terms).mean())
        right.append(sum(hits) / len(hits))
    result = cpc(batch)
    assert_close(result.loss, torch.stack(losses).mean())
    assert result.logs["contrast/top1"].item() == pytest.approx(sum(right) / 2)


def test_a_context_has_heard_what_was_and_not_what_comes(films: Data) -> None:
    cpc, (waves,) = build(films), batch_of().views
    moment = 3

    def context(x: Tensor) -> Tensor:
        return contexts(cpc.gru, rows_of(cpc.encoder.maps(x).grid))[:, moment, 0]

    last = moment * 16 + 20  # samples that its moment hears, and those before
    for sample, changes in ((0, True), (last - 1, True), (last, False)):
        touched = waves.clone()
        touched[:, :, sample] += 0.3
        assert bool((context(touched) != context(waves)).any()) is changes, sample


def test_probes_may_read_the_mean_context(films: Data) -> None:
    cpc, (waves,) = build(films), batch_of().views
    made = cpc.layers()["context"](waves)
    z = cpc.encoder.maps(waves).grid.transpose(1, 2)
    assert_close(made, cpc.gru(z)[0].mean(dim=1))
    assert_close(cpc.encoder(waves), z.mean(dim=1))


def test_figures_are_the_sound_and_what_is_taken_for_the_next_moment(films: Data) -> None:
    (figure,) = build(films).figures(batch_of()).values()
    chosen = figure.columns["next moment"]
    assert chosen.shape == (B, 1, 6, 6)
    assert_close(chosen.amax(dim=3), torch.ones(B, 1, 6))


def run_of(encoder: EncoderConfig, **fields: object) -> RunConfig:
    method = CPCSoundConfig.checked(**fields)
    return RunConfig.checked(method=method, data=DataConfig(name="emoji-films"), encoder=encoder, batch_size=64)


@pytest.mark.parametrize("encoder", [WaveConfig(width=8), MFCCConfig()])
def test_it_predicts_what_any_encoder_of_sounds_makes(encoder: EncoderConfig, films: Data) -> None:
    check_built(run_of(encoder, views=heard(4_000)), films)


def test_too_few_moments_are_one_clear_line(films: Data) -> None:
    message = "method.num_steps 12 needs 13 moments, and the encoder makes 4 of a view of 1000 samples; use method.num_"
    with pytest.raises(UserError, match=f"^{message}steps 3 or less, or longer views$"):
        check_built(run_of(WaveConfig(), views=heard(1_000)), films)


def test_sounds_that_are_shorter_than_the_papers_are_one_clear_line(films: Data) -> None:
    with pytest.raises(UserError, match=r"^view 1 of method.views reaches over 20480 samples, and 'wave' of emoji"):
        check_fits(run_of(WaveConfig()), films)


def test_pictures_are_refused(small_data: Data) -> None:
    with pytest.raises(UserError, match=r"view 1 of method.views is of the field 'wave', and fashion-mnist-12k has"):
        check_fits(run_of(WaveConfig()), small_data)
