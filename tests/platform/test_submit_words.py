"""What is submitted means there what it means here: a path is another one on another machine."""

import json
import typing
from pathlib import Path
from typing import Any

import pytest

from unlabeled.platform.cli.submit import KINDS, _checked, _function
from unlabeled.platform.config import RunConfig
from unlabeled.platform.drive import submit
from unlabeled.platform.drive.submit import Given, store_from_here
from unlabeled.platform.errors import UserError

# Every option of what can be submitted, with a value that isn't its default. A new one belongs here, and where it may
# name a file or folder among PATHS too.
TYPED: dict[str, str] = {
    **{
        name: "2"
        for name in (
            "workers",
            "max_concurrent",
            "cpus_per_run",
            "retries",
            "loaders",
            "loader_threads",
            "profile_steps",
            "trials",
            "best",
            "further_seeds",
        )
    },
    **{"gpus_per_run": "0.5", "micro_batch": "8", "min_workers": "1", "seeds": "0,1", "seed": "-1", "row": "linear"},
    **{"profile": "cluster", "sampler": "random", "pruner": "none", "prune_on": "validation/knn/top1"},
    **{"set_": "epochs=1", "config": "given.json", "home": "runs", "data_root": "sets", "dry_run": "", "compile_": ""},
    **{"quiet": "", "json_": "", "until_decided": "", "budget": "2h", "max_seeds": "9"},
}
PATHS = {"config", "home", "data_root"}
NAMES = {"study": ["projection-head"], "search": ["simclr-laptop"], "run": []}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_run: RunConfig) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("UNLABELED_HOME", "UNLABELED_DATA"):
        monkeypatch.delenv(variable, raising=False)
    Path("given.json").write_text(small_run.canonical_json())


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_arrives_as_it_was_meant(kind: str, tmp_path: Path) -> None:
    hints = typing.get_type_hints(_function(kind))
    options = [name for name in hints if name not in ("return", "address", "name", "method")]
    assert set(options) <= set(TYPED), "say here what a new option of it takes"
    assert {name for name in options if Path in (hints[name], *typing.get_args(hints[name]))} <= PATHS
    for name in options:
        option, value = f"--{name.rstrip('_').replace('_', '-')}", TYPED[name]
        typed = [option] if not value else [f"{option}={value}"]
        sent = _checked([kind, *NAMES[kind], *typed])[len(KINDS[kind]) + len(NAMES[kind]) :]
        if name == "config":
            assert sent == [option, Given(tmp_path, "given.json")]
        elif name in PATHS:
            assert sent == [option, str(tmp_path / value)]
        else:
            assert sent in ([option, value], typed)


@pytest.mark.parametrize(
    ("given", "there"),
    [
        ("data.name=folder:pictures", "data.name=folder:{here}/pictures"),
        ('data.name="folder:pictures"', 'data.name="folder:{here}/pictures"'),
        ('data={"name":"folder:pictures"}', 'data={"name": "folder:{here}/pictures"}'),
        (
            'evaluation.final=[{"probe":{"name":"knn"},"data":{"name":"folder:a"}}]',
            'evaluation.final=[{"probe": {"name": "knn"}, "data": {"name": "folder:{here}/a"}}]',
        ),
        ("data.name=folder:/pictures", "data.name=folder:/pictures"),
        ("data.name=emoji", "data.name=emoji"),
        ("method.head=[16,8]", "method.head=[16,8]"),
    ],
)
def test_folders_of_pictures_are_absolute(tmp_path: Path, given: str, there: str) -> None:
    assert _checked(["run", "simclr", "--set", given])[-1] == there.replace("{here}", str(tmp_path))
    assert _checked(["study", "projection-head", f"--set={given}"])[-1] == there.replace("{here}", str(tmp_path))


def test_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.json").write_text(folder)
    words = [Given(tmp_path / folder, "mine.json") for folder in ("a", "b")]
    places = [word.pack(tmp_path / "job", number) for number, word in enumerate(words)]
    assert [(tmp_path / "job" / place).read_text() for place in places] == ["a", "b"]


def test_a_study_goes_with_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "rows_that_go_along.py").write_text('ROWS = {"a": {"epochs": 1}, "b": {"epochs": 2}}\n')
    Path("a_study_that_goes.py").write_text(
        "from rows_that_go_along import ROWS\n"
        "from unlabeled.platform.study import Study\n"
        "from unlabeled.studies.bases import SIMCLR_RUN\n"
        "STUDY = Study(name='goes', question='Which?', source='nobody', expected='nothing', cost='seconds',\n"
        "    profiles={'laptop': SIMCLR_RUN['laptop']}, rows=ROWS)\n"
    )
    *words, given = _checked(["study", "a_study_that_goes.py"])
    assert words == ["study", "run"]
    assert isinstance(given, Given)
    place = given.pack(tmp_path / "job", 2)
    assert place == "given/2/a_study_that_goes.py"
    packed = sorted(path.name for path in (tmp_path / "job").rglob("*.py"))
    assert packed == ["a_study_that_goes.py", "rows_that_go_along.py"]


def test_a_configuration_that_is_missing_is_refused_here() -> None:
    with pytest.raises(
        UserError, match=r"/gone\.json can't be read: No such file or directory; --config takes a run's"
    ):
        _checked(["run", "--config", "gone.json"])


@pytest.mark.parametrize(
    ("given", "there"),
    [
        ("sqlite:///mlflow.db", "sqlite:///{here}/mlflow.db"),
        ("sqlite:////shared/mlflow.db", "sqlite:////shared/mlflow.db"),
        ("./mlruns", "{here}/mlruns"),
        ("file:mlruns", "file://{here}/mlruns"),
        ("file:///shared/mlruns", "file:///shared/mlruns"),
        ("postgresql://user@store/mlflow", "postgresql://user@store/mlflow"),
        ("https://store", "https://store"),
        ("databricks", "databricks"),
    ],
)
def test_a_store_by_a_relative_path_is_absolute(tmp_path: Path, given: str, there: str) -> None:
    assert store_from_here(given) == there.replace("{here}", str(tmp_path))


def test_what_is_sent_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, Any] = {}

    class Client:
        def submit_job(self, entrypoint: str, runtime_env: dict[str, Any]) -> str:
            folder = Path(runtime_env["working_dir"])
            sent["given"] = [str(path.relative_to(folder)) for path in sorted((folder / "given").rglob("*.*"))]
            sent.update(entrypoint=entrypoint, **runtime_env["env_vars"])
            return "job"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    cluster = object.__new__(submit.Cluster)
    cluster.address, cluster._client = "http://head:8265", Client()
    assert cluster.submit(["run", "--config", Given(tmp_path, "given.json")]) == "job"
    assert sent["entrypoint"] == "python -m unlabeled run --config given/2/given.json"
    assert sent["given"] == ["given/2/given.json"]
    assert sent["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/mine.db"
    assert json.dumps(sent)
