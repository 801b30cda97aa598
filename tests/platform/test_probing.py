"""Encoders that are trained, measured later: a run's in that run, another's in a run of its own."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import typer.testing
from formats import plain
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE

from unlabeled.dashboards import frames
from unlabeled.dashboards.measured import table
from unlabeled.dashboards.reading import read_report
from unlabeled.platform import cli
from unlabeled.platform.cli.options import weights_of_runs
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import Data, DataConfig, WaveFormat, load
from unlabeled.platform.drive.display import Display
from unlabeled.platform.drive.finished import FinishedRun, find_finished
from unlabeled.platform.drive.probing import _check_same_data, probe_finished, probe_given
from unlabeled.platform.drive.recorder import Recorder
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.drive.sweep import run_here
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import KNN, KMeans, Linear
from unlabeled.platform.study import Study
from unlabeled.platform.track import Store
from unlabeled.platform.train.further import elsewhere
from unlabeled.platform.train.given import given_encoder
from unlabeled.platform.train.measuring import Evaluation

SAID: list[str] = []


def do(run: RunConfig, home: Path, **changes: Any) -> None:
    study = Study(
        name="heads",
        question="Which head?",
        source="a paper",
        expected="a trend",
        cost="little",
        profiles={"laptop": run},
        rows={"none": {"method.head": ()}},
        seeds=(0,),
        measure="test/knn/top1",
    )
    base = study.base("laptop", changes)
    recorder = Recorder(study.runs(base), base, home, Store(home).open_study(study.record("laptop")))
    run_here(recorder, Display(1, study.measure), Resources())


@pytest.fixture(scope="module")
def trained_home(tmp_path_factory: pytest.TempPathFactory, small_run: RunConfig, empty_store: Path) -> Path:
    """A home with a run that was measured by kNN alone."""
    place = tmp_path_factory.mktemp("home")
    shutil.copy(empty_store, place)
    run = small_run.with_field("epochs", 1).with_field("evaluation.final", KNN()).with_field("evaluation.follow", ())
    do(run, place)
    return place


@pytest.fixture
def run(trained_home: Path, tmp_path: Path) -> FinishedRun:
    """That run, in a home of its own."""
    home = tmp_path / "home"
    shutil.copytree(trained_home, home)
    return find_finished(frames.runs("heads", home)["run_id"].iloc[0], home)


def asked(*final: Any, splits: tuple[str, ...] = ("validation", "test")) -> EvaluationConfig:
    return EvaluationConfig.checked(final=final, splits=splits)


def logged(run: FinishedRun) -> pd.DataFrame:
    return frames.runs("heads", run.store.home)


def test_a_run_is_measured_later_as_if_it_had_been_asked_for_at_once(run: FinishedRun) -> None:
    before = run.store.client.get_run(run.id)
    probed = probe_finished(run, asked(KNN(), Linear()), SAID.append)
    assert probed.is_new
    assert set(probed.scores) == {
        f"{area}/{probe}/top1" for area in ("validation", "test", "untrained") for probe in ("knn", "linear")
    }
    after = run.store.client.get_run(run.id)
    assert (after.info.status, after.info.end_time) == ("FINISHED", before.info.end_time)
    assert after.data.params == before.data.params
    assert before.data.tags.items() <= after.data.tags.items()
    do(run.config, run.store.home, **{"evaluation.final": [{"name": "knn"}, {"name": "linear"}]})
    both = frames.runs("heads", run.store.home, every=True)
    assert both["run_id"].nunique() == 2
    names = [name for name in probed.scores if "linear" in name]
    names += [f"protocol:{name}" for name in names]
    assert both[names].nunique().eq(1).all(), "what was added is what a run has that is measured by both"


def test_what_was_added_counts_in_reports_and_is_not_measured_again(
    run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not [name for name in logged(run) if name.startswith("probed:")]
    probed = probe_finished(run, asked(Linear(), splits=("test",)), SAID.append)
    runs, record = logged(run), frames.record("heads", run.store.home)
    assert table(record, runs, "test/linear/top1").loc["none", "mean"] == probed.scores["test/linear/top1"]
    report = read_report(record, runs, frames.epochs("heads", run.store.home))
    assert [part.metric for part in report.parts] == ["test/knn/top1", "test/linear/top1"]
    assert report.parts[1].protocol.startswith("linear@")
    assert probed.scores.keys() == {"test/linear/top1", "untrained/linear/top1"}
    monkeypatch.setattr(Evaluation, "final", None)
    again = probe_finished(find_finished(run.id, run.store.home), asked(Linear(), splits=("test",)), SAID.append)
    assert again == dataclasses.replace(probed, is_new=False)


def test_a_number_is_never_replaced_by_another_protocols(run: FinishedRun) -> None:
    probe_finished(run, asked(KMeans(num_starts=1), splits=("test",)), SAID.append)
    with pytest.raises(UserError, match=r"another command measured heads: none seed 0 meanwhile; give this one again"):
        probe_finished(run, asked(KMeans(num_starts=5), splits=("test",)), SAID.append)
    run = find_finished(run.fingerprint, run.store.home)
    with pytest.raises(UserError, match=r"heads: none seed 0 has test/kmeans/top1 by kmeans@\d \(.*starts 1\) on"):
        probe_finished(run, asked(KMeans(num_starts=5)), SAID.append)
    beside = probe_finished(run, asked(KMeans(num_starts=2), KMeans(num_starts=3), splits=("test",)), SAID.append)
    assert {"test/kmeans-num_starts-2/nmi", "test/kmeans-num_starts-3/nmi"} <= beside.scores.keys()


def test_other_data_stand_in_the_names(run: FinishedRun) -> None:
    emoji = DataConfig(name="emoji", train_images=100)
    probed = probe_finished(run, elsewhere(asked(KNN(), splits=("test",)), emoji), SAID.append)
    assert probed.scores.keys() == {"test/emoji/knn/top1", "untrained/emoji/knn/top1"}


def test_a_run_is_in_one_commands_hands_and_is_given_back_where_that_is_stopped(
    run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> None:
        with pytest.raises(UserError, match=r"heads: none seed 0 is in the hands of .*; wait for that"):
            probe_finished(run, few, SAID.append)
        raise KeyboardInterrupt

    few = asked(KNN(neighbors=3), splits=("test",))
    with monkeypatch.context() as patched:
        patched.setattr(Evaluation, "final", stopped)
        with pytest.raises(KeyboardInterrupt):
            probe_finished(run, few, SAID.append)
    assert find_finished(run.id, run.store.home).logged.data.metrics == run.logged.data.metrics
    assert not list((run.store.home / "work").glob("probe-*"))
    assert probe_finished(run, few, SAID.append).is_new


def test_an_exported_encoder_gives_what_its_run_gave_in_a_run_of_its_own(
    run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, data = run.store.home, run.config.data
    given, only = given_encoder(str(run.files)), asked(KNN(), splits=("test",))
    probed = probe_given(given, data, only, home, SAID.append, precision="fp32")
    own = run.logged.data.metrics
    assert probed.scores == {name: own[name] for name in probed.scores}
    assert set(probed.scores) == {"test/knn/top1", "untrained/knn/top1"}
    monkeypatch.setattr(Evaluation, "final", None)
    again = probe_given(given, data, only, home, SAID.append, precision="fp32")
    assert again == dataclasses.replace(probed, is_new=False)
    table = frames.runs("probes", home)
    assert table["run_id"].tolist() == [probed.run_id]
    assert table["protocol:test/knn/top1"].iloc[0].endswith("on test, encoder features, as given")
    assert not {"method.name", "optimizer.name", "epochs"} & set(table.columns), "it was trained by others"


def test_the_readmes_commands_run(run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those on what is trained, with a run's id, and with what is quick to measure."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    commands = re.findall(r"^\.venv/bin/unlabeled ((?:probe|embed|export) RUN.*)$", readme, flags=re.MULTILINE)
    assert len(commands) == 3
    monkeypatch.chdir(tmp_path)
    said = []
    for command in commands:
        words = command.replace("RUN", run.id).replace("onnx", "torch.export").replace("fine-tune", "knn").split()
        done = typer.testing.CliRunner().invoke(cli.app, [*words, "--home", str(run.store.home)])
        assert done.exit_code == 0, (command, done.output, done.exception)
        said.append(done.stdout)
    assert said[0].startswith(f"heads: none seed 0, measured before; MLflow run {run.id}\n  validation/knn/top1  ")
    assert re.match(r"features\.parquet: 64 features of [\d,]+ items of emoji, by convnet of encoder", said[1])
    assert said[2] == 'encoder.pt2: torch.export.load("encoder.pt2").module()\n'
    assert {"features.parquet", "encoder.pt2"} <= {path.name for path in tmp_path.iterdir()}


def test_any_layer_is_embedded(run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def features(of: str, *words: str) -> Any:
        out = f"{len(list(tmp_path.iterdir()))}.npz"
        typed = ["embed", of, "--splits", "test", "--out", out, "--home", str(run.store.home), *words]
        done = typer.testing.CliRunner().invoke(cli.app, typed)
        assert done.exit_code == 0, (words, done.output, done.exception)
        return np.load(tmp_path / out)["features"]

    monkeypatch.chdir(tmp_path)
    data, encoder = load(run.config.data), frames.encoder(run.id, run.store.home)
    with torch.no_grad():
        x = data.test.tensor(data.test.rows, data.field).float() / 255
        block1 = encoder.get_submodule("stages")[0](encoder.standardise(x)).mean(dim=(2, 3))
    there = ["--data", "fashion-mnist-12k", "--layer", "block1"]
    for of, words in ((run.id, ["--layer", "block1"]), (str(run.encoder), there)):
        np.testing.assert_allclose(features(of, *words), block1.numpy(), rtol=1e-4, atol=1e-5)
    plain = features(run.id)
    for same in ("block4", "head"):  # the output is block4's mean, and this head changes nothing
        np.testing.assert_allclose(features(run.id, "--layer", same), plain, rtol=1e-4, atol=1e-5)


def test_answers_are_said_for_programs(run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(*words: str) -> Any:
        done = typer.testing.CliRunner().invoke(cli.app, [*words, "--json", "--home", str(run.store.home)])
        assert done.exit_code == 0, (words, done.output, done.exception)
        return json.loads(done.stdout)

    monkeypatch.chdir(tmp_path)
    (probed,) = said("probe", run.id, "--set", "final=knn")
    assert (probed["run_id"], probed["is_new"], probed["notes"]) == (run.id, False, [])
    assert probed["scores"] == {name: run.logged.data.metrics[name] for name in probed["scores"]}
    assert "test/knn/top1" in probed["scores"]
    embedded = said("embed", run.id, "--splits", "validation", "--out", "f.npz")
    assert (embedded["file"], embedded["features"], embedded["data"]) == ("f.npz", 64, "fashion-mnist-12k")
    assert embedded["items"] == len(np.load("f.npz")["features"])
    exported = said("export", run.id, "--out", "there")
    assert exported["format"] == "safetensors"
    assert Path(exported["file"], "encoder.json").is_file()
    reported = said("report", "heads")
    assert (reported["name"], reported["claims"]) == ("heads", [])
    assert reported["best"]["mean"] == probed["scores"]["test/knn/top1"]
    site = said("report", "--all")
    assert (site["studies"], site["failed"], site["not_logged"]) == (["heads"], {}, {})
    assert all(Path(url.removeprefix("file://")).is_file() for url in (reported["report"], site["report"]))


CLI_MISTAKES = {
    ("probe", "RUN", "--set", "epochs=3"): "--set epochs would be ignored: .* what can be set is final, splits, data",
    ("probe", "RUN", "--set", "final=knn,knm"): r"final\.1\.probe: no ProbeConfig is called 'knm'; did you mean 'knn'",
    ("probe", "RUN", "--set", "final=segment"): r"segment needs a mask 'mask', and fashion-mnist-12k has none; choose",
    ("probe", "RUN", "--encoder", "resnet18"): "is a run, which knows its encoder; leave --encoder and --weights out",
    ("probe", "RUN", "--set", "seed=3"): "--set seed is a finished run's own and would be ignored; leave it out",
    ("probe", "RUN", "--set", "data.image_px=9"): r"--set data\.image_px is of other data than a run's own; name them",
    ("probe", "FOLDER"): r"say what convnet of encoder \(\w{8}\) is to see, with --data NAME",
    ("embed", "FOLDER"): r"say what convnet of encoder \(\w{8}\) is to see, with --data NAME",
    ("embed", "RUN", "--layer", "heat"): r"no layer of heads: none seed 0 is called 'heat'; did you mean 'head'\?",
    ("embed", "RUN", "--splits", "tests"): "no split is called 'tests'; did you mean 'test'",
    ("export", "nowhere"): r"no encoder\.json in nowhere; give the encoder folder among a run's artifacts",
    ("export", "RUN", "--format", "onxx"): "no format is called 'onxx'; did you mean 'onnx'",
}


def test_mistakes_are_one_line_each(run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"RUN": run.id, "FOLDER": str(run.encoder)}
    for words, line in CLI_MISTAKES.items():
        typed = [names.get(word, word) for word in words]
        done = typer.testing.CliRunner().invoke(cli.app, [*typed, "--home", str(run.store.home)])
        assert isinstance(done.exception, UserError), (words, done.output, done.exception)
        assert re.search(line, str(done.exception)), (words, done.exception)
        assert "\n" not in str(done.exception)


def test_an_encoder_is_shown_data_as_it_sees_them(run: FinishedRun) -> None:
    given = given_encoder(str(run.encoder))
    config, data = given.data(DataConfig(name="emoji"))
    assert (config.image_px, data.format.shape) == (28, (1, 28, 28))
    text = dataclasses.replace(given, shown=WaveFormat(1, 2_000, 16_000.0, (0.0,), (1.0,)))
    with pytest.raises(
        UserError, match=r"convnet of encoder \(\w{8}\) sees sounds, and emoji has only image, class, text"
    ):
        text.data(DataConfig(name="emoji"))


def test_other_data_or_weights_than_the_runs_are_refused(run: FinishedRun, small_data: Data) -> None:
    with pytest.raises(
        UserError, match=r"trained on fashion-mnist-12k with checksum \w{16}, and those here have 0{16};"
    ):
        _check_same_data(run, dataclasses.replace(small_data, checksum="0" * 64))
    rest = run.files / "method.safetensors"
    rest.write_bytes(rest.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"weights of heads: none seed 0 in .* are not whole"):
        probe_finished(run, asked(Linear()), SAID.append)


def test_the_weights_of_a_run_are_found_by_its_id_whatever_trained_it(run: FinishedRun) -> None:
    found = weights_of_runs({"encoder.weights": run.id, "epochs": 3}, run.store.home)
    assert found == {"encoder.weights": str(run.encoder), "epochs": 3}
    (run.files / "config.json").write_text('{"method": {"name": "of-a-file-that-is-not-here"}}')
    assert weights_of_runs({"encoder.weights": run.fingerprint}, run.store.home)["encoder.weights"] == str(run.encoder)
    with pytest.raises(UserError, match=r"has settings that this version does not know: method: no MethodConfig"):
        find_finished(run.id, run.store.home)
    starting = run.config.with_field("encoder.weights", str(run.encoder)).with_field("seed", 5)
    do(starting, run.store.home)
    logged = frames.runs("heads", run.store.home)
    assert logged["encoder.weights"].str.startswith(str(run.store.home / "weights")).all(), "where all nodes see it"


def raises(said: str, code: int) -> None:
    raise MlflowException(said, error_code=code)


def test_only_finished_runs_of_this_project_are_measured(run: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    home, client = run.store.home, run.store.client
    with pytest.raises(UserError, match=r"no run 'ffffffffffffffff' in sqlite:.*run_id of unlabeled\.dashboards"):
        find_finished("f" * 16, home)
    with pytest.raises(UserError, match=r"no run 'f{32}' in sqlite:"):
        find_finished("f" * 32, home)
    for code, line in (
        (RESOURCE_DOES_NOT_EXIST, r"no run 'f{32}' in sqlite:"),
        (TEMPORARILY_UNAVAILABLE, r"sqlite:.* can't be read: the disk is busy$"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(MlflowClient, "get_run", lambda *_, code=code: raises("the disk is busy", code))
            with pytest.raises(UserError, match=line):
                find_finished("f" * 32, home)
    client.update_run(run.id, status="FAILED")
    with pytest.raises(UserError, match=r"the run \w+ \(none\) is FAILED, not finished"):
        find_finished(run.id, home)
    other = client.create_run(run.logged.info.experiment_id).info.run_id
    with pytest.raises(UserError, match=r"was not trained by unlabeled; give a run of a study"):
        find_finished(other, home)


def test_a_name_that_is_no_encoder_says_what_is_wanted(run: FinishedRun, tmp_path: Path) -> None:
    weights = shutil.copy(run.encoder / "encoder.safetensors", tmp_path / "w.safetensors")
    (tmp_path / "empty").mkdir()
    for name, options, line in [
        ("nowhere", {}, r"nowhere is no run, folder or file here; give a finished run's id, the folder"),
        (weights, {}, r"w\.safetensors is weights alone; .* --encoder NAME"),
        (run.encoder / "mistyped", {}, r"mistyped is no run, folder or file here"),
        (tmp_path / "empty", {}, r"empty is a folder without encoder\.json"),
        (
            "timm:resnet18",
            {},
            r"timm:resnet18 needs its weights, which are not downloaded here; give them with --weights",
        ),
        (run.encoder, {"weights": weights}, r"--weights are those of timm:NAME, and would be ignored"),
        (weights, {"encoder": "convnet2"}, r"no encoder is called 'convnet2'; near it: convnet"),
    ]:
        with pytest.raises(UserError, match=line):
            given_encoder(str(name), **options).config.build(plain(1, 28))  # type: ignore[arg-type]
