"""What holds for every study."""

import ast
import functools
import itertools
import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sources import with_pictures, with_silence

from unlabeled.methods import OURS as OUR_METHODS
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.optim import SGD
from unlabeled.platform.study import OURS, Study
from unlabeled.platform.train.built import check_built, check_fits
from unlabeled.platform.train.loaded import load_cached
from unlabeled.studies import STUDIES, tables

NUMBER = re.compile(r"(?<![\w.-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w/])")  # not the 2 of "v2" or "4x"
CITATION = re.compile(r"\b(version|table|fig\.|sec\.|app\.) [\w.]+")
HERE = ("fashion-mnist-12k", "emoji")
SMALL = DataConfig(name="fashion-mnist-12k", train_images=256)


@functools.cache
def seen(config: DataConfig) -> Data:
    """Load a set; of one that is not here, return what it looks like.

    That is its shape and its number of pictures, which are black. Tux Paint's spoken words are not everywhere; each of
    theirs is silent. Statistics are taken of more than a million pictures, so each look is made once.
    """
    if config.name in HERE:
        return load_cached(config)
    shape = {"imagenet": (3, 224, 1_281_167), "cifar10": (3, 32, 50_000)}.get(config.name)
    return _looks(config.name, *shape) if shape else _sounds(config.name, config.train_images or 5_000)


@functools.cache
def _looks(name: str, channels: int, px: int, count: int) -> Data:
    return replace(with_pictures(load_cached(SMALL), channels, px, count), name=name)


@functools.cache
def _sounds(name: str, count: int) -> Data:
    return replace(with_silence(load_cached(SMALL), count), name=name)


@pytest.fixture(scope="module")
def built() -> set[str]:
    """Runs that were built, without what does not matter to that; building takes time, and studies share many."""
    return set()


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
class TestEveryStudy:
    def test_is_found_by_its_name_and_explains_itself(self, study: Study) -> None:
        assert STUDIES[study.name] is study
        module = sys.modules[_module(study)]
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

    def test_its_runs_can_be_built_at_each_scale(self, study: Study, built: set[str]) -> None:
        for run in (planned.config for scale in study.profiles for planned in study.runs(study.base(scale), scale)):
            if run.seed != study.seeds[0]:
                continue
            data = seen(run.data)
            alike = run.model_copy(update={"epochs": 1, "optimizer": SGD(), "seed": 0}).canonical_json()
            if alike not in built:  # it is built the same however long and by what it is trained
                check_built(run, data)
                built.add(alike)
            check_fits(run, data)

    def test_its_runs_and_record_survive_json(self, study: Study) -> None:
        for run in study.runs(study.base("laptop"), "laptop"):
            assert RunConfig.model_validate_json(run.config.canonical_json()) == run.config
        record = json.loads(json.dumps(study.record("laptop")))
        assert list(record["rows"]) == list(study.row_settings())

    def test_claims_come_with_what_was_published_or_are_ours(self, study: Study) -> None:
        assert study.claims
        for claim in study.claims:
            assert claim.source
            assert bool(claim.published) == (claim.source != OURS)

    def test_types_no_published_number(self, study: Study) -> None:
        """Claims and tables get them from ``published/``; other numbers in sentences are the study's own settings."""
        tree = ast.parse(Path(sys.modules[_module(study)].__file__ or "").read_text())
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            typed = {keyword.arg for keyword in call.keywords} & {"published_difference", "quantity", "setting"}
            if isinstance(call.func, ast.Name) and call.func.id in ("Claim", "Published"):
                typed |= {keyword.arg for keyword in call.keywords} & {"published"}
                assert call.func.id == "Claim", "Published is made by tables.Column.beside"
            assert not typed, f"{study.name} types {typed}; read them by studies.tables"
        for text in (study.expected, *(claim.statement for claim in study.claims), _expected(study)):
            numbers = set(NUMBER.findall(CITATION.sub("", text)))
            assert numbers <= _own_numbers(study), f"{study.name}: {text!r} has a number that is no setting of its own"


def test_every_published_table_is_in_the_index_with_its_source_and_setting() -> None:
    index = tables.lines("index")
    files = {path.stem for path in tables.FOLDER.glob("*.csv")} - {"index", "findings"}
    assert {line["file"] for line in index} == files
    for line in index:
        assert line["source"]
        assert line["quantity"]
        assert line["setting"]
        cells = [cells[line["column"]] for cells in tables.lines(line["file"])]
        assert any(cell != "NA" for cell in cells)
        if line["unit"]:
            assert all(cell in ("NA", "fail") or math.isfinite(float(cell)) for cell in cells), line
    assert len({(line["file"], line["column"]) for line in index}) == len(index)


def test_the_readme_names_the_tables_that_no_study_reads() -> None:
    sources = "".join(path.read_text() for path in tables.FOLDER.parent.glob("*.py"))
    unread = {line["file"] for line in tables.lines("index") if f'"{line["file"]}"' not in sources}
    (said,) = re.findall(r"Read by no study: (.*)", (tables.FOLDER / "README.md").read_text())
    assert set(re.findall(r"`(\w+)`", said)) == unread


def test_findings_are_all_used_and_their_number_is_in_their_words() -> None:
    words = {claim.published for study in STUDIES.values() for claim in study.claims}
    for line in tables.lines("findings"):
        assert line["words"] in words, f"no claim says {line['finding']}"
        assert bool(line["difference"]) == bool(line["unit"])
        if line["difference"] and float(line["difference"]):
            assert line["difference"] in NUMBER.findall(line["words"])


def test_published_differences_are_those_of_the_cells_in_their_words() -> None:
    """Read the words again, apart from the code that made them."""
    said = {line["words"] for line in tables.lines("findings")}
    seen = 0
    for claim in (claim for study in STUDIES.values() for claim in study.claims if claim.published not in said):
        numbers = [float(number) for number in NUMBER.findall(claim.published)]
        if claim.source == OURS or claim.published_difference is None:
            continue
        scale = 0.01 if claim.published.endswith("%") else 1.0
        if claim.kind == "order":
            rise = np.polyfit(range(len(numbers)), numbers, 1)[0] * (len(numbers) - 1)
            assert claim.published_difference == pytest.approx(rise * (0.01 if claim.published.endswith("%") else 1.0))
            continue
        signs = (1, -1, -1, 1)[: len(numbers)]
        expected = scale * sum(sign * number for sign, number in zip(signs, numbers, strict=True))
        assert claim.published_difference == pytest.approx(expected)
        assert claim.published_difference > 0
        seen += 1
    assert seen > 20


def test_how_often_one_beats_another_is_as_the_tables_say() -> None:
    def wins(table: str, higher: tuple[str, str], lower: tuple[str, str]) -> int:
        first, second = (
            tables.one(table, dict(zip(("protocol", "method"), cells, strict=True))) for cells in (higher, lower)
        )
        return sum(float(first[name]) > float(second[name]) for name in list(first)[2:])

    narrow, wide = "simclr_transfer_resnet50", "simclr_transfer"
    ours, theirs, scratch = (("fine-tuned", method) for method in ("SimCLR", "Supervised", "Random init"))
    counts = {
        "transfer-tuned": [wins(narrow, theirs, ours)],
        "transfer-linear": [wins(narrow, ("linear", "Supervised"), ("linear", "SimCLR"))],
        "transfer-simclr-over-scratch": [wins(narrow, ours, scratch), wins(wide, ours, scratch)],
        "transfer-supervised-over-scratch": [wins(narrow, theirs, scratch), wins(wide, theirs, scratch)],
    }
    assert counts == {
        "transfer-tuned": [9],
        "transfer-linear": [12],
        "transfer-simclr-over-scratch": [10, 12],
        "transfer-supervised-over-scratch": [11, 12],
    }
    for finding, numbers in counts.items():
        assert set(map(str, numbers)) <= set(NUMBER.findall(tables.said(finding)["published"]))


def test_a_line_that_is_not_the_only_one_is_refused() -> None:
    with pytest.raises(LookupError, match=r"2 lines of simclr_imagenet.csv have \{'method': 'MoCo'\}"):
        tables.Column("simclr_imagenet", "top1", {"MoCo": {"method": "MoCo"}})
    with pytest.raises(LookupError, match=r"0 lines of index.csv"):
        tables.Column("simclr_imagenet", "top2", {})


def _module(study: Study) -> str:
    return f"unlabeled.studies.{study.name.replace('-', '_')}"


def _expected(study: Study) -> str:
    return (sys.modules[_module(study)].__doc__ or "").partition("\nExpected:")[2].partition("\nCost:")[0]


def _own_numbers(study: Study) -> set[str]:
    """The numbers that a study may name: in its rows' names, their plain fields and its shares of labels."""
    fields = [value for row in study.row_settings().values() for value in row.values()]
    numbers = [value for value in fields if isinstance(value, int | float)]
    shares = [each.probe.labels for run in study.profiles.values() for each in run.evaluation.final]
    texts = [*study.row_settings(), *(f"{scale * number:g}" for scale in (1, 100) for number in (*numbers, *shares))]
    return set(itertools.chain(*(NUMBER.findall(text) for text in texts)))


def test_pretext_tasks_has_a_row_for_each_method_of_pictures() -> None:
    """Without one are those that are tried on films, sounds or scenes, and those that see a few labels beside."""
    study = STUDIES["pretext-tasks"]
    rows = {run.config.method.name for run in study.runs(study.base("laptop"), "laptop")}
    examples = {name: method.example() for name, method in OUR_METHODS.items()}
    labels_beside = {name for name, example in examples.items() if example.method.views.streams}
    of_others = {name for name, example in examples.items() if example.data.name in ("emoji-films", "emoji-scenes")}
    assert rows == set(OUR_METHODS) - labels_beside - of_others
