"""The command line as a person meets it: what it says, what it writes, and how it answers mistakes."""

import contextlib
import importlib
import inspect
import io
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
import typer.testing
from patience import HANG_SECONDS, wait_until
from PIL import Image
from rich.console import Console

from unlabeled.dashboards import frames
from unlabeled.platform import cli
from unlabeled.platform.cli import launch, options, run, search, study, sweeping
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import DATASETS, DataConfig, load
from unlabeled.platform.drive import awaited, recorder, sweep
from unlabeled.platform.drive.display import Display
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.search import strategy
from unlabeled.platform.study import Study
from unlabeled.platform.track import Store, StudyLog
from unlabeled.platform.train.events import EpochDone, Finished, Noted, Progress, Started

ROOT = Path(__file__).resolve().parent.parent
STUDY = "projection-head"


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str


Unlabeled = Callable[..., Answer]


@pytest.fixture
def unlabeled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> Unlabeled:
    """Run a command in this process, as if in an empty folder."""
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    monkeypatch.setenv("UNLABELED_DATA", str(Path.cwd() / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(awaited, "SAY_AFTER_SECONDS", float("inf"))  # it depends on how busy the machine is

    def call(*arguments: str | Path) -> Answer:
        monkeypatch.setattr(sys, "argv", ["unlabeled", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        code = left.value.code
        assert code is None or isinstance(code, int)
        return Answer(code or 0, *capsys.readouterr())

    return call


def assert_one_line(answer: Answer, pattern: str) -> None:
    assert answer.code == 2, answer
    assert answer.out == ""
    assert re.fullmatch(r"unlabeled: .+\n", answer.err), answer.err
    assert re.search(pattern, answer.err), answer.err


def write_config(run: RunConfig) -> Path:
    path = Path("given.json").absolute()
    path.write_text(json.dumps(run.model_dump(mode="json", serialize_as_any=True)))
    return path


def draw(folder: Path, count: int) -> None:
    """Put pictures of noise into a folder."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")


def of_folder(run: RunConfig, place: Path | str) -> RunConfig:
    data = DataConfig(name=f"folder:{place}", image_px=16)
    return run.model_copy(update={"data": data, "batch_size": 16, "epochs": 1})


MISTAKES = {
    "no such command": (["runn"], r"No such command 'runn'. Did you mean 'run'\?; see `unlabeled --help`"),
    "no such option": (["run", "simclr", "--sett", "x"], r"--sett .*--set.*; see `unlabeled run --help`"),
    "no method": (["run"], r"name a METHOD or give a --config; the methods are: rotnet, .*, simclr, .*, supervised"),
    "method": (["run", "simclrr"], r"no method is called 'simclrr'; did you mean 'simclr'\? There are: "),
    "study": (["study", "run", "projection-haed"], r"no study .*'projection-haed'; did you mean 'projection-head'\?"),
    "study to show": (["study", "show", "nothing"], r"no study is called 'nothing'; there are: .*projection-head"),
    "row": (["study", "run", STUDY, "--row", "liner"], r"no row is called 'liner'; did you mean 'linear'\?"),
    "rows until decided": (
        ["study", "run", STUDY, "--row", "linear", "--until-decided"],
        r"--until-decided runs whichever rows open claims need; leave --row out",
    ),
    "profile": (["study", "run", STUDY, "--profile", "lap"], r"no profile .*'lap'; did you mean 'laptop'\?"),
    "no equals sign": (["run", "simclr", "--set", "epochs"], r"--set takes PATH=VALUE, got 'epochs'; for example "),
    "field": (["run", "simclr", "--set", "epoch=3"], r"no field of RunConfig is called 'epoch'; did you mean 'epochs'"),
    "inner field": (["run", "simclr", "--set", "encoder.widht=8"], r"ConvNetConfig .*'widht'; did you mean 'width'\?"),
    "field of a number": (["run", "simclr", "--set", "epochs.x=3"], r"epochs is 10 and has no field 'x'"),
    "a word for a number": (["run", "simclr", "--set", "epochs=many"], r"epochs: .*integer.*, got 'many'"),
    "batch below zero": (["run", "simclr", "--set", "batch_size=-4"], r"batch_size: .*equal to 2, got -4"),
    "batch above the data": (
        ["run", "simclr", "--set", "batch_size=9001"],
        r"batch_size 9001 is larger than the 9000 items to train on of fashion-mnist-12k; use at most 9000",
    ),
    "whole path": (
        ["run", "simclr", "--set", "evaluation.follow.0.probe.neighbors=0"],
        r": evaluation\.follow\.0\.probe\.neighbors: .*equal to 1, got 0",
    ),
    "kind": (["run", "simclr", "--set", "optimizer.name=adam"], r"'adam'; did you mean 'adamw'\? There are: adamw, "),
    "precision": (["run", "simclr", "--set", "precision=fp8"], r"precision: .*'auto', 'bf16' or 'fp32', got 'fp8'"),
    "data set": (
        ["run", "simclr", "--set", "data.name=cifr10"],
        r": data\.name: no data set is called 'cifr10'; did you mean 'cifar10'\? There are: .*voc:PATH, wds:PATH$",
    ),
    "data set not there": (
        ["run", "simclr", "--set", "data.name=cifar10"],
        r"cifar10 is not in .*/data: .*; get it with `unlabeled data download cifar10 --data-root .*/data`",
    ),
    "ignored setting": (
        ["run", "simclr", "--set", "encoder.name=resnet18", "--set", "encoder.width=8"],
        r"no field of TimmConfig is called 'width'; .*[Tt]here are: model, patch_px",
    ),
    "seeds are words": (["study", "run", STUDY, "--seeds", "a,b"], r"--seeds takes whole numbers .*, got 'a,b'"),
    "no seeds": (["study", "run", STUDY, "--seeds", ""], r"--seeds takes whole numbers .*, got ''"),
    "seed twice": (["study", "run", STUDY, "--seeds", "1,1"], r"seeds must differ from each other, got \(1, 1\)$"),
    "seed below zero": (["study", "run", STUDY, "--seeds=-1"], r"seed: .*equal to 0, got -1"),
    "seed by --set": (["study", "run", STUDY, "--set", "seed=1"], r"a seed each; choose them with --seeds"),
    "what the study varies": (["study", "run", STUDY, "--set", "method.head=[3]"], r"would be ignored; change another"),
    "none at once": (["study", "run", STUDY, "--max-concurrent", "0"], r"max_concurrent: .*equal to 1, got 0"),
    "a word at once": (
        ["study", "run", STUDY, "--max-concurrent", "x"],
        r"'--max-concurrent': .*integer.*; see `unlabeled study run",
    ),
    "GPUs below zero": (["study", "run", STUDY, "--gpus-per-run=-1"], r"gpus_per_run: .*equal to 0, got -1"),
    "workers of a run": (["run", "simclr", "--workers", "0"], r"workers: .*equal to 1, got 0"),
    "retries of a search": (["search", "run", "simclr-laptop", "--retries=-1"], r"retries: .*equal to 0, got -1"),
    "part of what the study varies": (
        ["study", "run", "pretext-tasks", "--set", "method.temperature=1"],
        r"method\.temperature is what pretext-tasks varies, so setting it would be ignored; change another",
    ),
    "search": (["search", "run", "simclr"], r"no search is called 'simclr'; did you mean 'simclr-laptop'\?"),
    "sampler": (["search", "run", "simclr-laptop", "--sampler", "tpee"], r"no sampler .*'tpee'; did you mean 'tpe'\?"),
    "policy": (["augment", "--policy", "simlcr"], r"no policy is called 'simlcr'; did you mean 'simclr'\?"),
    "data to augment": (["augment", "--data", "emojii"], r"no data set is called 'emojii'; did you mean 'emoji'\?"),
    "field to augment": (["augment", "--field", "class"], r"no picture, clip or sound of emoji is called 'class'"),
    "no pictures": (["augment", "--images", "0"], r"'--images': .*equal to 1|'--images': 0 is not in the range"),
    "split to show": (
        ["data", "show", "emoji", "--split", "tests"],
        r"no split is called 'tests'; did you mean 'test'\?",
    ),
    "data to show": (["data", "show", "emojii"], r"no data set is called 'emojii'; did you mean 'emoji'\?"),
    "page that is no PNG": (["data", "show", "emoji", "--out", "x"], r"--out takes the path of a \.png file, got 'x'"),
    "page nowhere": (["data", "show", "emoji", "--out", "gone/x.png"], r"can't be written: there is no folder .*gone"),
    "not a PNG": (["augment", "--out", "views.txt"], r"--out takes the path of a \.png file, got 'views\.txt'"),
    "no suffix": (["augment", "--out", "views"], r"--out takes the path of a \.png file, got 'views'"),
    "no such folder": (
        ["augment", "--out", "gone/x.png"],
        r"gone/x\.png can't be written: there is no folder .*/gone;",
    ),
    "data to download": (["data", "download", "cifr10"], r"no data set is called 'cifr10'; did you mean 'cifar10'\?"),
    "own data": (["data", "download", "folder:mine"], r"your own pictures .*; put them into .*/here\d*/mine$"),
    "no home to report": (
        ["report", STUDY, "--home", "gone"],
        r"there is no home .*/gone; give the one .* with --home",
    ),
    "no home to serve": (["ui", "--home", "gone", "--port", "5999"], r"there is no home .*/gone; give the one "),
    "port": (["ui", "--port", "0"], r"'--port'"),
    "missing config": (
        ["run", "simclr", "--config", "gone.json"],
        r"gone\.json can't be read: No such file.*; --config ",
    ),
    "folder as config": (
        ["run", "simclr", "--config", "."],
        r"\. can't be read: Is a directory; --config takes a run's ",
    ),
    "seeds backwards": (["study", "run", STUDY, "--seeds", "4-0"], r"--seeds takes .* such as 0,1,2 or 0-4, got '4-0'"),
    "seeds without an end": (["run", "simclr", "--seeds", "0-"], r"--seeds takes .* or 0-4, got '0-'"),
    "too many seeds": (["run", "simclr", "--seeds", "0-9999999"], r"--seeds takes .* or 0-4, got '0-9999999'"),
    "seed said twice": (
        ["run", "simclr", "--seeds", "0-1", "--set", "seed=3"],
        r"--seeds 0-1 and --set seed=3 both say the seed; leave one out",
    ),
    "initials": (
        ["run", "simclr", "--set", "optimizer.lr=1"],
        r"is called 'lr'; did you mean 'learning_rate'\? There are",
    ),
    "number for a list": (
        ["run", "simclr", "--set", "method.head=256"],
        r"method\.head: a list is needed, such as \[512, 128\] or 512,128, got 256",
    ),
    "no Python file": (
        ["study", "run", "README.md"],
        r"README\.md is no Python file; name a study, or the path of a \.py",
    ),
    "missing Python file": (
        ["study", "show", "gone.py"],
        r"there is no file gone\.py; give a study's name or the path of",
    ),
    "method to explain": (
        ["methods", "simclrr"],
        r"no method is called 'simclrr'; did you mean 'simclr'\? There are: ",
    ),
    "field to explain": (
        ["fields", "epoch"],
        r"no field is called 'epoch'; did you mean 'epochs'\? There are: batch_size, ",
    ),
    "inner field to explain": (
        ["fields", "encoder.widht"],
        r"no field of encoder is called 'widht'; did you mean 'width'",
    ),
    "search to show": (["search", "show", "simclr"], r"no search is called 'simclr'; did you mean 'simclr-laptop'\?"),
    "profile to show": (["study", "show", STUDY, "--profile", "lap"], r"no profile .*'lap'; did you mean 'laptop'\?"),
    "nothing to report": (["report"], r"report takes a study's name or --all, one of them; `unlabeled study list` "),
    "job that can't be": (
        ["submit", "report", "--home", "x"],
        r"'report' can't be submitted; `unlabeled submit` takes ",
    ),
    "job without a home": (
        ["submit", "study", STUDY],
        r"a job's own folder is thrown away after it; say where .* --home ",
    ),
    "missing folder": (["run", "simclr", "--set", "data.name=folder:gone"], r"there is no folder .*/here\d*/gone$"),
}


def test_sixty_mistakes_are_tried() -> None:
    assert len(MISTAKES) >= 60


@pytest.mark.parametrize(("arguments", "pattern"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_clear_line_and_writes_nothing(
    unlabeled: Unlabeled, arguments: list[str], pattern: str
) -> None:
    assert_one_line(unlabeled(*arguments), pattern)
    assert not [path for path in Path.cwd().rglob("*") if path.is_file()]
    assert not Path("gone").exists()


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"{", r"Invalid JSON"),
        (b"\xff\xfe\x00", r"Invalid JSON"),
        (b"[1]", r"should be an object"),
        (b'{"a": 1}', r"method: a value is needed; there is no field 'a' in RunConfig"),
        (b'{"method": {"name": "simclr"}, "epochs": 0}', r"epochs: .*equal to 1, got 0"),
        (b'{"method": {"name": "simlcr"}}', r"'simlcr'; did you mean 'simclr'\?"),
        (
            b'{"method": {"name": "simclr"}, "encoder": {"width": 8}, "optimizer": {}}',
            r"encoder: .*its name .*convnet, .*timm.*; optimizer: .*its name .*adamw",
        ),
    ],
)
def test_a_config_of_another_shape_is_one_clear_line(unlabeled: Unlabeled, content: bytes, pattern: str) -> None:
    Path("given.json").write_bytes(content)
    assert_one_line(unlabeled("run", "simclr", "--config", "given.json"), rf"given\.json is no RunConfig: .*{pattern}")


def test_a_home_that_is_a_file_or_below_one_is_one_clear_line(unlabeled: Unlabeled) -> None:
    Path("file").touch()
    for home in ("file", "file/home"):
        line = r"the home .*/file.* can't be written \(.*\); give another with --home or UNLABELED_HOME"
        assert_one_line(unlabeled("run", "simclr", "--home", home), line)
        assert_one_line(unlabeled("report", STUDY, "--home", home), r"there is no home .*/file")
    assert Path("file").read_bytes() == b""


def test_a_store_of_another_version_is_one_clear_line(unlabeled: Unlabeled, home: Path) -> None:
    with sqlite3.connect(home / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'fffffffffffe'")
    database.close()
    assert_one_line(
        unlabeled("report", STUDY, "--home", home), r"written by another MLflow version .*mlflow db upgrade"
    )


def test_a_study_that_never_ran_has_no_report(unlabeled: Unlabeled, home: Path) -> None:
    line = rf"no runs of '{STUDY}' in sqlite.*; there are: none yet; `unlabeled study run {STUDY}` makes some"
    assert_one_line(unlabeled("report", STUDY, "--home", home), line)


def test_an_empty_folder_is_one_clear_line(unlabeled: Unlabeled) -> None:
    Path("empty").mkdir()
    answer = unlabeled("run", "simclr", "--set", "data.name=folder:empty")
    assert_one_line(answer, r"there are no pictures in .*/empty; they end in \.jpg")


def test_a_run_ends_in_a_report_and_its_own_config_is_the_same_run(
    unlabeled: Unlabeled, home: Path, small_run: RunConfig
) -> None:
    first = unlabeled("run", "simclr", "--config", write_config(small_run), "--home", home)
    assert first.code == 0, first
    page = home / "reports" / "runs" / "index.html"
    *said, best = first.out.splitlines()
    assert said == [
        f"runs: 0 of 1 runs are done, 1 to do; home {home}",
        "1 finished, 0 failed, 0 were done before",
        f"report    {page.as_uri()}",
    ]
    assert re.fullmatch(r"best      simclr, test/linear/top1 \d+\.\d % of 1 seed; untrained \d+\.\d %", best)
    lines = r"simclr seed 0: started\n1/1 simclr seed 0 test/linear/top1 \d+\.\d %, \d+ s\n"
    assert re.fullmatch(lines, first.err), "no escape codes, no table"
    assert "<h1>Single runs</h1>" in page.read_text()
    (run,) = frames.runs("runs", home).itertuples()
    own = Store(home).artifact(str(run.run_id), "config.json")
    assert own is not None
    again = unlabeled("run", "simclr", "--config", own, "--home", home)
    assert again.code == 0
    assert "1 of 1 runs are done, 0 to do" in again.out
    (only,) = frames.runs("runs", home).itertuples()
    assert str(only.run_id) == str(run.run_id)
    page.unlink()
    assert unlabeled("report", "runs", "--home", home).out == f"{page}\n"
    assert page.is_file()


def test_a_config_of_another_method_is_one_clear_line(unlabeled: Unlabeled, small_run: RunConfig) -> None:
    path = write_config(small_run)
    answer = unlabeled("run", "moco", "--config", path)
    assert_one_line(answer, r"is a run of 'simclr', not of 'moco'; name that method")


def test_pictures_without_classes_give_health_and_a_report(
    unlabeled: Unlabeled, home: Path, small_run: RunConfig
) -> None:
    draw(Path("pictures"), 60)
    config = write_config(of_folder(small_run, Path("pictures").absolute()).with_field("epochs", 2))
    assert unlabeled("run", "simclr", "--config", config, "--home", home).code == 0
    (run,) = frames.runs("runs", home).to_dict("records")
    assert run["health/rankme"] >= 1.0
    assert not [name for name in run if str(name).endswith("/top1") and str(name).startswith(("test/", "knn/"))]
    page = (home / "reports" / "runs" / "index.html").read_text()
    assert "Effective rank of the features (RankMe)" in page
    text = re.sub(r"<(style|svg).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert not re.search(r"\bnan\b", text, flags=re.IGNORECASE)
    assert "experiment_id" not in text, "MLflow's number of the study is no setting of it"


def test_a_relative_folder_starts_where_the_user_is(unlabeled: Unlabeled, home: Path, small_run: RunConfig) -> None:
    draw(Path("pictures"), 60)
    config = write_config(of_folder(small_run, "elsewhere"))
    setting = "data.name=folder:pictures"
    answer = unlabeled("run", "simclr", "--config", config, "--set", setting, "--home", home)
    assert answer.code == 0, answer
    (run,) = frames.runs("runs", home).itertuples()
    given = json.loads((Store(home).artifact(str(run.run_id), "config.json") or Path()).read_text())
    assert given["data"]["name"] == f"folder:{Path('pictures').absolute()}"
    assert unlabeled("augment", "--data", "folder:pictures", "--images", "2").code == 0


def test_a_picture_that_can_not_be_read_fails_its_run_with_a_reason(
    unlabeled: Unlabeled, home: Path, small_run: RunConfig
) -> None:
    draw(Path("pictures/train/a"), 40)
    draw(Path("pictures/train/b"), 40)
    draw(Path("pictures/test/a"), 5)
    draw(Path("pictures/test/b"), 5)
    whole = io.BytesIO()  # its head is sound, so that it is found out when it is decoded
    Image.new("RGB", (16, 16)).save(whole, "BMP")
    Path("pictures/test/b/3.bmp").write_bytes(whole.getvalue()[:-200])
    config = write_config(of_folder(small_run, Path("pictures").absolute()))
    answer = unlabeled("run", "simclr", "--config", config, "--home", home)
    assert answer.code == 1
    assert "Traceback" not in answer.err
    assert re.search(r"1/1 simclr seed 0 failed: can't read the picture .*/test/b/3\.bmp: .*; repair it", answer.err)
    assert "failed runs: 1; the report gives the reasons" in answer.err
    runs = frames.runs("runs", home)
    assert runs["status"].tolist() == ["FAILED"]
    assert "can't read the picture" in runs["reason"].iloc[0]
    assert "can&#39;t read the picture" in (home / "reports" / "runs" / "index.html").read_text()


def test_names_of_a_user_are_never_markup(unlabeled: Unlabeled, home: Path, small_run: RunConfig) -> None:
    place = Path("<script>alert(1)<") / "pictures [red]"
    draw(place / "<b>a", 40)
    draw(place / "<script>alert(2)<", 40)
    config = write_config(of_folder(small_run, place.absolute()).with_field("evaluation.tsne_images", 20))
    answer = unlabeled("run", "simclr", "--config", config, "--home", home)
    assert answer.code == 0, answer
    page = (home / "reports" / "runs" / "index.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_terminal_shows_progress_and_keeps_only_what_ended(small_run: RunConfig) -> None:
    screen, run = io.StringIO(), small_run.with_field("epochs", 1)
    with Display(1, "test/linear/top1", Console(file=screen, force_terminal=True, width=60)) as display:
        display.show("simclr seed 0", run, Started({}, 0, []))
        display.show("simclr seed 0", run, Progress(1, 4, 1234.0))
        display.show("simclr seed 0", run, EpochDone(1, {"train/loss": 2.5, "knn/top1": 0.5}))
        display._live.refresh()  # as it does by itself, twice a second
        display.show("simclr seed 0", run, Noted("[bold]mind[/bold] the gap"))
        display.show(
            "simclr seed 0", run, Finished({"test/linear/top1": 0.625, "system/wall_seconds": 75.0}, notes=("[b] x",))
        )
    shown = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    assert re.search(r"simclr seed 0 +1/1 +1,234 +probing +2\.500 +50\.0 %", shown)
    assert "simclr seed 0: [bold]mind[/bold] the gap" in shown
    assert "1/1 simclr seed 0 test/linear/top1 62.5 %, 1 min 15 s\n" in shown
    assert "simclr seed 0: [b] x\n" in shown
    assert shown.endswith("\x1b[1A\x1b[2K"), "the table is wiped at the end"


@pytest.mark.parametrize("data", ["emoji", "fashion-mnist-12k"])
def test_augment_draws_a_page(unlabeled: Unlabeled, data: str) -> None:
    answer = unlabeled("augment", "--data", data, "--policy", "moco-v2-small", "--images", "3", "--out", "page.png")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("page.png: Crop(")
    with Image.open("page.png") as page:
        assert page.width > 800
        assert page.height > 300
        assert len(page.convert("RGB").getcolors(maxcolors=1_000_000) or []) > 100


@pytest.mark.parametrize("field", ["clip2", "wave"])
def test_augment_draws_films_and_sounds(unlabeled: Unlabeled, field: str) -> None:
    answer = unlabeled("augment", "--data", "emoji-films", "--field", field, "--images", "2", "--out", "page.png")
    assert (answer.code, answer.err) == (0, "")
    with Image.open("page.png") as page:
        assert len(page.convert("L").getcolors() or []) > 100


@pytest.mark.parametrize("data", ["emoji", "fashion-mnist-12k", "emoji-scenes", "emoji-films"])
def test_data_show_draws_a_page(unlabeled: Unlabeled, data: str) -> None:
    answer = unlabeled(
        "data", "show", data, "--count", "2", "--split", "train", "--set", "data.image_px=32", "--out", "page.png"
    )
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"page.png: {data}: ")
    with Image.open("page.png") as page:
        assert page.width > 450
        assert page.height > 200


def test_augment_names_a_file_that_can_not_be_written(unlabeled: Unlabeled) -> None:
    Path("page.png").mkdir()
    line = r"page\.png can't be written: Is a directory; give another path with --out"
    assert_one_line(unlabeled("augment", "--images", "1", "--out", "page.png"), line)


def test_lists_say_what_there_is(unlabeled: Unlabeled) -> None:
    studies, methods, data = unlabeled("study", "list"), unlabeled("methods"), unlabeled("data", "list")
    assert re.search(rf"^{STUDY} +Does a projection head help, .*\?$", studies.out, flags=re.M)
    assert re.search(r"^simclr +contrastive +2\.\d\d  Chen et al\. 2020, arXiv:2002\.05709$", methods.out, flags=re.M)
    assert re.findall(r"^(\S+)", data.out, flags=re.M) == list(DATASETS)
    assert re.search(r"ships with Unlabeled", data.out)
    assert {answer.code for answer in (studies, methods, data)} == {0}


def test_some_rows_are_run_of_the_same_base(unlabeled: Unlabeled, home: Path, small_run: RunConfig) -> None:
    """Though they may take other data than the base does: else their runs would stand on another page."""
    asked = ("--row", "linear", "--row", "none", "--seeds", "0,1", "--dry-run", "--home", home)
    planned = unlabeled("study", "run", STUDY, *asked)
    assert planned.code == 0, planned.err
    assert re.findall(r"^  (\S+) seed (\d) ", planned.out, flags=re.M) == [
        (row, seed) for seed in "01" for row in ("none", "linear")
    ]
    other = DataConfig(name="fashion-mnist-12k", train_images=128)
    rows: dict[str, dict[str, object]] = {"as it is": {}, "fewer": {"data": other}}
    told = {"question": "?", "source": "s", "expected": "e", "cost": "c", "profiles": {"laptop": small_run}}
    some = Study.checked(name="some", rows=rows, seeds=(0,), **told)
    everything = {run.config.data: load(run.config.data) for run in some.runs(small_run, "laptop")}
    assert len(everything) == 2
    assert sweeping.identity_of(some, small_run, "laptop") == recorder.base_identity(small_run, everything)
    assert [run.row for run in sweeping.of_rows(some.runs(small_run, "laptop"), ["fewer"])] == ["fewer"]


def test_some_rows_of_some_seeds_are_no_other_design(unlabeled: Unlabeled, home: Path, small_run: RunConfig) -> None:
    """A study's first look at its claims is at the seeds that it declares, whichever were tried before."""
    told = {"question": "?", "source": "s", "expected": "e", "cost": "c", "profiles": {"laptop": small_run}}
    some = Study.checked(name="some", rows={"a": {}, "b": {"epochs": 3}}, seeds=(0, 1, 2), **told)
    asked, record, seen = some.with_field("seeds", (0,)), some.record("laptop"), []

    def how(found: recorder.Recorder, *_: object) -> recorder.Outcome:
        seen.append(found)
        return found.outcome

    sweeping.sweep(asked, small_run, "laptop", home, Resources(), how, ["b"], record)
    ((row, seed),) = [(run.row, run.seed) for run in seen[0].planned]
    assert (row, seed) == ("b", 0)
    assert list(seen[0].log.record["seeds"]) == [0, 1, 2]
    planned = unlabeled("study", "run", STUDY, "--row", "linear", "--dry-run", "--home", home)
    assert "declared:" not in planned.out, "what all rows cost is no estimate of some"


def test_show_lists_every_setting_as_set_takes_it(unlabeled: Unlabeled) -> None:
    shown = unlabeled("study", "show", STUDY)
    assert shown.code == 0
    assert "  non-linear  method.head=[256, 128]\n" in shown.out
    settings = dict(re.findall(r"^  ([a-z_.]+) {2,}(.+)$", shown.out.partition("base run")[2], flags=re.M))
    assert settings["data.image_px"] == "null"
    assert "method.head" not in settings, "it is what the study varies"
    base = importlib.import_module("unlabeled.studies").STUDIES[STUDY].base("laptop")
    for path, text in settings.items():
        if path not in ("method.views", "evaluation.follow", "evaluation.final"):
            assert base.with_field(path, options.parse_changes([f"{path}={text}"])[path]) == base


COMMANDS = ["", "run", "report", "ui", "augment", "methods", "study", "study list", "study show", "study run"]
COMMANDS += ["search", "search list", "search show", "search run", "fields", "status", "submit", "send"]


@pytest.mark.parametrize("command", [*COMMANDS, "data", "data list", "data show", "data download"])
def test_every_help_is_whole(command: str) -> None:
    result = typer.testing.CliRunner().invoke(cli.app, [*command.split(), "--help"], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    assert " ." not in result.stdout, "brackets are markup to typer and vanish"
    described = re.findall(r"^│ [* ]? *(?:--)?[a-z-]+ .{3,}", result.stdout, flags=re.M)
    assert described


def test_all_commands_that_start_runs_have_the_same_options() -> None:
    commands = (run.run, study.study_run, search.search_run)
    shared = inspect.signature(launch.launched).parameters
    for command in commands:
        given = inspect.signature(command).parameters
        assert "launch" not in given
        assert {name: given[name] for name in shared} == dict(shared)
    of_single_runs = {"profile_steps"}
    assert of_single_runs <= set(inspect.signature(run.run).parameters)
    given_as = {name.removesuffix("_") for name in (*shared, *of_single_runs)}
    assert set(Resources.model_fields) <= given_as, "say here how a new field of Resources is given"


def test_the_names_of_samplers_and_pruners_are_those_that_there_are() -> None:
    assert (get_args(strategy.SamplerName), get_args(strategy.PrunerName)) == (search.SAMPLERS, search.PRUNERS)


def test_a_run_in_this_process_takes_the_threads_that_it_is_given(
    unlabeled: Unlabeled, home: Path, small_run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "usable_cores", lambda: 8)
    taken: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    words = ["run", "simclr", "--config", write_config(small_run), "--home", home]
    assert unlabeled(*words, "--cpus-per-run", "3").code == 0
    assert taken == [3]
    assert unlabeled(*words, "--set", "seed=1").code == 0
    assert taken == [3, torch.get_num_threads()]


def test_help_waits_for_nothing_heavy() -> None:
    code = """
import contextlib, sys
from unlabeled.platform.cli import main
sys.argv = ["unlabeled", "study", "run", "--help"]
with contextlib.suppress(SystemExit):
    main()
print(sorted({"torch", "ray", "mlflow", "pandas", "numpy", "optuna", "timm"} & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("lacking", ["typer", "pydantic"])
def test_a_python_without_the_dependencies_is_one_clear_line(lacking: str) -> None:
    code = f"""
import runpy, sys
sys.modules[{lacking!r}] = None  # so that importing it fails
sys.argv = ["unlabeled", "run", "simclr"]
runpy.run_module("unlabeled", run_name="__main__", alter_sys=True)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(rf"unlabeled: .* has no module '{lacking}'; .*pyproject\.toml .*\n", done.stderr)


def test_the_module_runs_without_an_installation() -> None:
    code = [sys.executable, "-m", "unlabeled", "--help"]
    out = subprocess.run(
        code, cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "90"}
    )
    assert "Usage: unlabeled [OPTIONS] COMMAND" in out.stdout
    assert out.stderr == ""


def test_after_ctrl_c_the_same_command_goes_on(unlabeled: Unlabeled, home: Path, small_run: RunConfig) -> None:
    config = write_config(small_run.model_copy(update={"epochs": 12}).with_field("evaluation.every_epochs", 12))
    arguments = ["run", "simclr", "--config", str(config), "--home", str(home)]
    process = subprocess.Popen(
        [sys.executable, "-m", "unlabeled", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

    def has_begun() -> bool:
        assert process.poll() is None, process.communicate()
        return any(home.glob("work/*/step-*.pt"))

    wait_until(has_begun)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "stopped; the same command goes on from the checkpoints"
    assert "Traceback" not in err
    assert frames.runs("runs", home)["status"].tolist() == ["KILLED"]
    after = unlabeled(*arguments)
    assert after.code == 0, after
    assert re.search(r"simclr seed 0: goes on after step \d+", after.err)
    assert frames.runs("runs", home)["status"].tolist() == ["FINISHED"]
    losses = frames.epochs("runs", home).query("metric == 'train/loss'")
    assert losses["epoch"].tolist() == list(range(1, 13))


def test_ctrl_c_waits_for_the_store(
    unlabeled: Unlabeled, home: Path, small_run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, done = StudyLog.epoch, []

    def interrupted(log: StudyLog, run_id: str, event: EpochDone) -> None:
        signal.raise_signal(signal.SIGINT)
        write(log, run_id, event)
        done.append(event.epoch)

    monkeypatch.setattr(StudyLog, "epoch", interrupted)
    answer = unlabeled("run", "simclr", "--config", write_config(small_run), "--home", home)
    assert answer.code == 130
    assert done == [1]
    assert frames.runs("runs", home)["status"].tolist() == ["KILLED"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_port_that_is_taken_is_one_clear_line(unlabeled: Unlabeled, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = unlabeled("ui", "--home", home, "--port", str(port))
        assert_one_line(answer, rf"port {port} can't be served on \(.*in use\); give another with --port")


@pytest.mark.slow
def test_ui_serves_the_store_until_ctrl_c(home: Path) -> None:
    Store(home).client.create_experiment("heads")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "unlabeled", "ui", "--home", str(home), "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        experiments = _ask(f"{address}/api/2.0/mlflow/experiments/search?max_results=10", process)
        assert "heads" in experiments
    finally:
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, err
    assert re.fullmatch(rf"heads +{address}/#/experiments/\d+/runs\?workflowType=machine_learning\n", out)
    assert "Traceback" not in err
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=5)


def _ask(url: str, process: subprocess.Popen[str]) -> str:
    said: list[str] = []

    def answers() -> bool:
        assert process.poll() is None, process.communicate()
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:
            said.append(answer.read().decode())
        return bool(said)

    wait_until(answers, lambda: "the server did not answer")
    return said[0]
