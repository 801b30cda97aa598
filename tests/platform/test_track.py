"""Runs in a real MLflow store, done in this process without Ray."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from pydantic import Field

from unlabeled.dashboards import frames
from unlabeled.platform.augment import Policy, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.drive import sweep
from unlabeled.platform.drive.display import Display
from unlabeled.platform.drive.home import find_home, make_home
from unlabeled.platform.drive.recorder import Outcome, Recorder
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.drive.sweep import run_here
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import Linear
from unlabeled.platform.method import Batch, Method, MethodConfig, StepResult
from unlabeled.platform.study import Study
from unlabeled.platform.track import Store
from unlabeled.platform.train import loop
from unlabeled.platform.train.events import EpochDone, Event, Failed, Report
from unlabeled.platform.train.loop import Training

ROWS = {"none": {"method.head": ()}, "linear": {"method.head": (16,)}}


def study_of(run: RunConfig, name: str = "heads", **fields: Any) -> Study:
    return Study(
        name=name,
        question="Which head?",
        source="a paper",
        expected="a trend",
        cost="little",
        profiles={"laptop": run},
        **{"rows": ROWS, "seeds": (0, 1), **fields},
    )


class Watching(Display):
    """A display that may stop the driver at an event, as Ctrl-C would."""

    stop_at: int = 0

    def show(self, name: str, run: RunConfig, event: Event) -> None:
        super().show(name, run, event)
        if isinstance(event, EpochDone) and event.epoch == self.stop_at:
            raise KeyboardInterrupt


def do(study: Study, home: Path, stop_at: int = 0, **changes: Any) -> Outcome:
    base = study.base("laptop", changes)
    recorder = Recorder(study.runs(base), base, home, Store(home).open_study(study.record("laptop")))
    display = Watching(len(recorder.planned), study.measure)
    display.stop_at = stop_at
    return run_here(recorder, display, Resources())


def test_what_a_failed_gpu_leaves_is_said(small_run: RunConfig, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(run: RunConfig, home: Path, gpus: float | None, report: Report, trained: Path | None) -> bool:
        report(Failed("CUDA error: unspecified launch failure", breaks_process=True))
        return False

    monkeypatch.setattr(sweep, "execute_safely", fails)
    outcome = do(study_of(small_run), home)
    assert (outcome.finished, outcome.failed) == (0, 1)
    said = "the GPU failed, and this process with it; the same command does the others"
    assert outcome.notes == [f"3 runs were not begun: {said}"]


@pytest.fixture(scope="module")
def finished_home(tmp_path_factory: pytest.TempPathFactory, small_run: RunConfig, empty_store: Path) -> Path:
    """A home with a finished study of four runs."""
    place = tmp_path_factory.mktemp("home")
    shutil.copy(empty_store, place)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "CHECK_EVERY", 2)
        outcome = do(study_of(small_run), place)
    assert (outcome.finished, outcome.failed, outcome.skipped) == (4, 0, 0)
    return place


@pytest.fixture(scope="module")
def runs(finished_home: Path) -> pd.DataFrame:
    return frames.runs("heads", finished_home)


def test_the_frame_is_tidy_and_typed(runs: pd.DataFrame, small_run: RunConfig) -> None:
    assert list(zip(runs["row"], runs["seed"], strict=True)) == [("none", 0), ("linear", 0), ("none", 1), ("linear", 1)]
    assert (runs["status"] == "FINISHED").all()
    assert runs["epochs"].tolist() == [2] * 4
    assert runs["method.temperature"].tolist() == [0.2] * 4
    assert runs["method.head"].tolist() == [(), (16,)] * 2, "lists are lists, and can be grouped by"
    assert runs.groupby("method.head").size().tolist() == [2, 2]
    assert runs["optimizer.betas"].tolist() == [small_run.optimizer.betas] * 4
    assert runs["test/linear/top1"].between(0, 1).all()
    assert runs["protocol:test/linear/top1"].str.startswith(f"linear@{Linear.version} (").all()
    assert set(small_run.parameters()) <= set(runs.columns)
    assert {"environment:commit", "environment:processor", "environment:torch"} <= set(runs.columns)


def test_every_epoch_is_logged_once_in_order(finished_home: Path, runs: pd.DataFrame) -> None:
    long = frames.epochs("heads", finished_home)
    assert set(long.columns) == {"run_id", "row", "seed", "epoch", "metric", "value"}
    counts = long.groupby(["run_id", "metric"])["epoch"].apply(list)
    assert (counts.map(tuple) == (1, 2)).all()
    last = long[(long["metric"] == "train/loss") & (long["epoch"] == 2)].set_index("run_id")["value"]
    assert last.loc[runs["run_id"]].tolist() == runs["train/loss"].tolist()


def test_the_loss_is_logged_within_epochs(finished_home: Path, runs: pd.DataFrame) -> None:
    steps, epochs = frames.steps("heads", finished_home), frames.epochs("heads", finished_home)
    assert list(steps.columns) == ["run_id", "row", "seed", "step", "metric", "value"]
    assert steps["step"].tolist() == [2, 4, 6, 8] * 4
    assert steps["run_id"].drop_duplicates().tolist() == runs["run_id"].tolist()
    assert "steps/loss" not in set(epochs["metric"])
    of_epochs = epochs.loc[epochs["metric"] == "train/loss", "value"]
    assert steps["value"].to_numpy().reshape(-1, 2).mean(axis=1) == pytest.approx(of_epochs.to_numpy(), rel=1e-9)


def test_a_run_in_the_ui_is_readable_and_whole(finished_home: Path, runs: pd.DataFrame, small_run: RunConfig) -> None:
    store = Store(finished_home)
    run = store.client.get_run(runs["run_id"].iloc[1])
    assert run.info.run_name == "linear seed 0"
    tags = run.data.tags
    assert (tags["unlabeled.study"], tags["unlabeled.row"]) == ("heads", "linear")
    assert tags["unlabeled.fingerprint"] == runs["fingerprint"].iloc[1]
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.name == "fashion-mnist-12k"
    names = {item.path for item in store.client.list_artifacts(run.info.run_id)}
    assert names == {"config.json", "study.json", "encoder", "method.safetensors", "training.json", "views.png"}
    assert set(store.pictures(run.info.run_id)) >= {"views"}
    path = store.artifact(run.info.run_id, "config.json")
    assert path is not None
    assert RunConfig.model_validate_json(path.read_text()) == small_run.with_field("method.head", (16,))
    note = store.experiment("heads").tags["mlflow.note.content"]
    assert note.startswith("Which head?"), "without marks, because lists show it as it is"


def test_of_a_finished_run_the_weights_are_kept_once_and_no_checkpoint(finished_home: Path) -> None:
    assert [path.name for path in (finished_home / "work").iterdir()] == ["untrained"]
    assert len(list(finished_home.rglob("encoder.safetensors"))) == 4
    assert not list(finished_home.rglob("*.pt"))


def test_a_raised_probe_measures_again_and_trains_nothing(
    small_run: RunConfig, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(small_run, rows={"linear": {"method.head": (16,)}})
    assert do(study, home).finished == 2
    before = frames.runs("heads", home)
    monkeypatch.setattr(Linear, "version", Linear.version + 1)
    monkeypatch.setattr(Training, "_take_step", None)
    assert do(study, home).finished == 2
    after = frames.runs("heads", home)
    assert after["protocol:test/linear/top1"].str.startswith(f"linear@{Linear.version} ").all()
    assert after["test/linear/top1"].tolist() == before["test/linear/top1"].tolist()
    assert after["train/loss"].tolist() == before["train/loss"].tolist()
    assert len(frames.runs("heads", home, every=True)) == 4
    assert do(study, home).skipped == 2


def test_a_row_that_was_declared_anew_is_not_mixed_with_what_it_was(small_run: RunConfig, home: Path) -> None:
    do(study_of(small_run), home)
    do(study_of(small_run, rows={**ROWS, "linear": {"method.head": (8,)}}, seeds=(0,)), home)
    runs = frames.runs("heads", home)
    assert list(zip(runs["row"], runs["seed"], strict=True)) == [("none", 0), ("none", 1), ("linear", 0)]
    assert runs["method.head"].tolist() == [(), (), (8,)]


def test_rows_may_differ_in_their_data(small_run: RunConfig, home: Path) -> None:
    rows = {name: {"data.name": name} for name in ("fashion-mnist-12k", "emoji")}
    do(study_of(small_run, rows=rows, seeds=(0,)), home)
    assert frames.runs("heads", home)["row"].tolist() == list(rows)


def test_the_record_is_the_study_as_declared(finished_home: Path, small_run: RunConfig) -> None:
    assert frames.record("heads", finished_home) == json.loads(json.dumps(study_of(small_run).record("laptop")))


def test_a_finished_study_trains_nothing(finished_home: Path, small_run: RunConfig) -> None:
    before = frames.runs("heads", finished_home)
    outcome = do(study_of(small_run), finished_home)
    assert (outcome.finished, outcome.skipped) == (0, 4)
    pd.testing.assert_frame_equal(before, frames.runs("heads", finished_home))


def test_more_seeds_reuse_what_is_done(finished_home: Path, small_run: RunConfig) -> None:
    outcome = do(study_of(small_run, name="more", rows={"linear": ROWS["linear"]}, seeds=(0,)), finished_home)
    outcome = do(study_of(small_run, name="more", rows={"linear": ROWS["linear"]}, seeds=(0, 1)), finished_home)
    assert (outcome.finished, outcome.skipped) == (1, 1)
    assert frames.runs("more", finished_home)["base"].nunique() == 1


def test_another_base_is_kept_apart(finished_home: Path, small_run: RunConfig) -> None:
    study = study_of(small_run, name="bases", rows={"linear": ROWS["linear"]}, seeds=(0,))
    do(study, finished_home)
    do(study, finished_home, epochs=1)
    newest = frames.runs("bases", finished_home)
    assert newest["epochs"].tolist() == [1]
    every = frames.runs("bases", finished_home, every=True)
    assert every["epochs"].tolist() == [2, 1]
    older = every["base"].iloc[0]
    assert frames.runs("bases", finished_home, base=older[:6])["run_id"].tolist() == every["run_id"].tolist()[:1]
    assert set(frames.epochs("bases", finished_home, base=older)["epoch"]) == {1, 2}
    listed = frames.studies(finished_home).query("study == 'bases'")
    assert listed[["base", "rows", "seeds", "runs", "finished"]].values.tolist() == [
        [base, 1, 1, 1, 1] for base in every["base"]
    ]
    assert set(listed["question"]) == {"Which head?"}
    with pytest.raises(UserError, match=rf"bases {newest['base'].iloc[0]} .*, {older} .*; 'zz' is none of them"):
        frames.runs("bases", finished_home, base="zz")


def test_an_encoder_is_ready_to_use(finished_home: Path, runs: pd.DataFrame) -> None:
    encoder = frames.encoder(runs["run_id"].iloc[0], finished_home)
    features = encoder(torch.rand(2, 1, 28, 28))
    assert features.shape == (2, encoder.dim)
    with pytest.raises(UserError, match="no encoder is logged with the run 'nobody'"):
        frames.encoder("nobody", finished_home)


def test_an_interrupted_driver_goes_on_in_the_same_run(small_run: RunConfig, home: Path) -> None:
    study = study_of(small_run, rows={"linear": ROWS["linear"]}, seeds=(0,))
    outcome = do(study, home, stop_at=1)
    assert outcome.interrupted
    killed = frames.runs("heads", home)
    assert killed["status"].tolist() == ["KILLED"]
    outcome = do(study, home)
    assert (outcome.finished, outcome.interrupted) == (1, False)
    finished = frames.runs("heads", home)
    assert finished["run_id"].tolist() == killed["run_id"].tolist()
    assert finished["status"].tolist() == ["FINISHED"]
    losses = frames.epochs("heads", home).query("metric == 'train/loss'")
    assert losses["epoch"].tolist() == [1, 2]


class FailingConfig(MethodConfig):
    """A method that fails in one of the ways that methods do."""

    name = "test-failing"
    views: ViewPlan = ViewPlan(views=(Policy(),))
    how: str = Field(default="not at all")

    def build(self, encoder: Encoder, data: Data) -> "Failing":
        return Failing(self.how, encoder)


class Failing(Method):
    def __init__(self, how: str, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.how = how

    def forward(self, batch: Batch) -> StepResult:
        loss = self.encoder(batch.views[0]).square().mean()
        if self.how == "exception":
            raise RuntimeError("<b>out of luck</b>")
        return StepResult(loss=loss * float("nan") if self.how == "not finite" else loss)


def test_a_failure_is_a_row_with_its_reason_and_the_others_go_on(small_run: RunConfig, home: Path) -> None:
    rows = {how: {"method.how": how} for how in ("exception", "not finite", "not at all")}
    study = study_of(small_run.with_field("method", FailingConfig(how="base")), rows=rows, seeds=(0,))
    outcome = do(study, home)
    assert (outcome.finished, outcome.failed, outcome.is_complete) == (1, 2, False)
    found = frames.runs("heads", home).set_index("row")
    assert found["status"].to_dict() == {"exception": "FAILED", "not finite": "FAILED", "not at all": "FINISHED"}
    assert found.loc["exception", "reason"] == "RuntimeError: <b>out of luck</b>"
    assert "the loss became nan by step 4 of 8" in found.loc["not finite", "reason"]
    again = do(study, home)
    assert (again.failed, again.skipped) == (2, 1), "a failed run is tried again, in its own MLflow run"
    assert len(frames.runs("heads", home)) == 3


def test_what_is_missing_of_a_finished_run_is_logged_and_said(
    small_run: RunConfig, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise ValueError("on purpose")

    monkeypatch.setattr("unlabeled.platform.train.pictures.draw_views_of", fail)
    monkeypatch.setattr("unlabeled.platform.evaluate.KNN.learn", fail)
    study = study_of(small_run.with_field("epochs", 1), rows={"none": {}}, seeds=(0,))
    outcome = do(study, home)
    assert (outcome.finished, outcome.failed) == (1, 0)
    assert "none seed 0: views were not drawn: on purpose" in outcome.notes
    logged = frames.runs("heads", home)
    assert [f"none seed 0: {note}" for note in logged["notes"][0].splitlines()] == outcome.notes
    assert "test/linear/top1" in logged
    assert "test/knn/top1" not in logged, "what was not measured is absent"


def test_two_studies_with_equal_runs_have_a_run_each(small_run: RunConfig, finished_home: Path) -> None:
    study = study_of(small_run, name="elsewhere", rows={"linear": ROWS["linear"]}, seeds=(0,))
    assert do(study, finished_home).finished == 1
    assert set(frames.runs("elsewhere", finished_home)["fingerprint"]) < set(
        frames.runs("heads", finished_home)["fingerprint"]
    )


def test_a_study_without_runs_names_those_that_have_some(finished_home: Path) -> None:
    with pytest.raises(UserError, match=r"no runs of 'haeds' in sqlite.*; there are: .*heads"):
        frames.runs("haeds", finished_home)


def test_a_store_of_another_version_is_one_clear_line(tmp_path: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'fffffffffffe'")
    with pytest.raises(UserError, match=r"was written by another MLflow version .*mlflow db upgrade") as caught:
        Store(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_home_that_an_address_can_not_name_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "why?").mkdir()
    with pytest.raises(UserError, match=r"has a question mark in its path; .*--home"):
        Store(tmp_path / "why?")
    assert not (tmp_path / "why").exists()


def test_a_damaged_store_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database, and never was one" * 100)
    with pytest.raises(UserError, match=r"the MLflow store sqlite.* can't be opened: .*use another --home"):
        Store(tmp_path)


def test_a_deleted_experiment_is_one_clear_line(small_run: RunConfig, home: Path) -> None:
    store = Store(home)
    log = store.open_study(study_of(small_run).record("laptop"))
    store.client.delete_experiment(log.id)
    with pytest.raises(UserError, match=r"was deleted; restore it with `mlflow experiments restore -x \d+`"):
        store.open_study(study_of(small_run).record("laptop"))


def test_a_home_that_can_not_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"the home .* can't be written .*; give another with --home or UNLABELED_HOME"):
        make_home(tmp_path / "file" / "home")


def test_the_home_is_as_given_then_the_environments_then_runs_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_home() == tmp_path / "runs"
    monkeypatch.setenv("UNLABELED_HOME", str(tmp_path / "elsewhere"))
    assert find_home() == tmp_path / "elsewhere"
    assert find_home("given") == tmp_path / "given"


def test_reading_runs_does_without_torch() -> None:
    code = "import sys; from unlabeled.dashboards import frames, publish; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
