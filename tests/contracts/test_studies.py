"""What holds for every study."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.runtime import load_cached
from unlabeled.platform.study import Study
from unlabeled.platform.train import check_built
from unlabeled.studies import STUDIES

HERE = ("fashion-mnist-12k", "emoji")


def looks(run: RunConfig, data: Data) -> Data:
    """Return what a set that is not here looks like: its shape and its number of pictures, of grey ones' pixels."""
    (channels, px), count = {"imagenet": ((3, 224), 1_281_167), "cifar10": ((3, 32), 50_000)}[run.data.name]
    statistics = {"mean": (0.5,) * channels, "std": (0.2,) * channels}
    many = data.pretrain.subset(torch.zeros(count, dtype=torch.int64))
    return replace(data, name=run.data.name, channels=channels, image_px=px, pretrain=many, **statistics)


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
class TestEveryStudy:
    def test_is_found_by_its_name_and_explains_itself(self, study: Study) -> None:
        assert STUDIES[study.name] is study
        module = sys.modules[f"unlabeled.studies.{study.name.replace('-', '_')}"]
        text = module.__doc__ or ""
        assert text.splitlines()[0] == study.question
        for part in ("Why it matters:", "Source:", "Expected:", "Cost:"):
            assert f"\n{part}" in text, f"{module.__name__} doesn't say {part}"

    def test_has_a_run_for_each_row_and_seed_at_each_scale(self, study: Study) -> None:
        assert set(study.profiles) == {"laptop", "workstation", "cluster"}
        for profile in study.profiles:
            runs = study.runs(study.base(profile), profile)
            assert len(runs) == len(study.row_settings()) * len(study.seeds)
            assert len({run.config.fingerprint("data") for run in runs}) == len(runs)

    def test_its_runs_can_be_built_at_each_scale(self, study: Study, small_data: Data) -> None:
        for profile in study.profiles:
            for run in study.runs(study.base(profile), profile)[: len(study.row_settings())]:
                data = load_cached(run.config.data) if run.config.data.name in HERE else looks(run.config, small_data)
                check_built(run.config, data)

    def test_its_runs_and_record_survive_json(self, study: Study) -> None:
        for run in study.runs(study.base("laptop"), "laptop"):
            assert RunConfig.model_validate_json(run.config.canonical_json()) == run.config
        record = json.loads(json.dumps(study.record("laptop")))
        assert list(record["rows"]) == list(study.row_settings())

    def test_claims_come_with_their_source_and_published_words(self, study: Study) -> None:
        assert study.claims
        for claim in study.claims:
            assert claim.source
            assert claim.published
