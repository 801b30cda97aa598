"""What holds for every search."""

import json
import sys

import optuna
import pytest

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.errors import UserError
from unlabeled.platform.search import Search
from unlabeled.platform.search.built import read_back
from unlabeled.studies import STUDIES
from unlabeled.studies.searches import SEARCHES

POINTS = 40


@pytest.fixture(scope="module")
def data() -> Data:
    """The data of the laptop profiles."""
    return load(DataConfig(name="fashion-mnist-12k", train_images=5000))


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
class TestEverySearch:
    def test_is_found_by_its_name_and_explains_itself(self, search: Search) -> None:
        assert SEARCHES[search.name] is search
        module = sys.modules[f"unlabeled.studies.searches.{search.name.replace('-', '_')}"]
        text = module.__doc__ or ""
        assert text.splitlines()[0] == search.question
        for part in ("Why it matters:", "Source:", "Expected:", "Cost:"):
            assert f"\n{part}" in text, f"{module.__name__} doesn't say {part}"

    def test_has_a_name_of_its_own_among_experiments(self, search: Search) -> None:
        assert search.name not in STUDIES
        assert search.name != "runs"

    def test_most_points_are_runs_whose_values_arrive_in_what_is_built(self, search: Search, data: Data) -> None:
        base = search.base("laptop")
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        trained, names = 0, set()
        for _ in range(POINTS):
            trial = study.ask()
            point = search.draw(trial)
            names |= set(trial.params)
            try:
                run = search.run_at(base, point)
            except UserError:
                continue
            if search.broken(run):
                continue
            assert read_back(run, point, data) == {path: point[path] for path in search.space}
            assert RunConfig.model_validate_json(run.canonical_json()) == run
            assert run.evaluation.splits == ("validation",)
            trained += 1
        assert trained > POINTS / 2
        assert names == set(search.parameters)

    def test_its_record_is_plain_json(self, search: Search) -> None:
        record = json.loads(json.dumps(search.record("laptop")))
        assert record["parameters"] == list(search.parameters)
        assert [rule["sentence"] for rule in record["constraints"]] == [rule.sentence for rule in search.constraints]
        assert record["kind"] == "search"
