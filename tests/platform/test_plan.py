"""What a study would do before it does it: its runs, its time, its room in a cluster; and what a job must not do."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from rich.console import Console

from unlabeled.platform.config import RunConfig
from unlabeled.platform.drive import display, submit
from unlabeled.platform.drive.cluster import take_sigterm_as_ctrl_c
from unlabeled.platform.drive.display import Display
from unlabeled.platform.drive.home import make_home
from unlabeled.platform.drive.plan import LoggedRun, Plan, logged_runs
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.drive.room import check_room, growing, nodes, with_gpus
from unlabeled.platform.errors import UserError
from unlabeled.platform.study import PlannedRun
from unlabeled.platform.train.events import EpochDone, Progress, Started
from unlabeled.platform.train.loaded import identify


@pytest.fixture
def planned(small_run: RunConfig) -> list[PlannedRun]:
    """Rows a and b over seeds 0 and 1."""
    return [
        PlannedRun(row=row, seed=seed, config=small_run.with_field("seed", seed).with_field("epochs", epochs))
        for seed in (0, 1)
        for row, epochs in (("a", 2), ("b", 3))
    ]


def log_of(run: PlannedRun, status: str, seconds: float) -> dict[str, LoggedRun]:
    identity = identify(run.config)
    return {identity.fingerprint: LoggedRun(status, run.row, identity.row, seconds)}


def test_a_plan_knows_what_is_done_and_guesses_the_rest_from_runs_of_the_same_row(
    planned: list[PlannedRun],
) -> None:
    logged = log_of(planned[0], "FINISHED", 40.0) | log_of(planned[1], "FINISHED", 100.0)
    plan = Plan.of(planned, logged | log_of(planned[2], "KILLED", 7.0), max_concurrent=1)
    assert [step.what for step in plan.steps] == ["done", "done", "goes on", "to do"]
    assert plan.seconds == 140.0
    assert plan.summary == "2 of 4 runs are done, 2 to do"
    assert list(plan.lines()) == [
        "  a seed 0  done         40 s",
        "  b seed 0  done         1 min 40 s",
        "  a seed 1  goes on      about 40 s",
        "  b seed 1  to do        about 1 min 40 s",
        "1 at once, about 2 min 20 s and the start-up",
    ]
    assert Plan.of(planned, logged, max_concurrent=2).seconds == 100.0
    assert Plan.of(planned, logged, max_concurrent=8).seconds == 100.0


def test_a_plan_says_of_which_rows_it_cannot_know_the_time(planned: list[PlannedRun]) -> None:
    other = PlannedRun(row="b", seed=1, config=planned[1].config.with_field("batch_size", 128).with_field("seed", 1))
    logged = log_of(planned[0], "FINISHED", 40.0) | log_of(other, "FINISHED", 9.0)
    plan = Plan.of(planned, logged, max_concurrent=2)
    assert plan.seconds is None
    assert list(plan.lines())[-1] == (
        "2 at once; how long can't be known: no finished run here is like 'b' in all but the seed"
    )


def test_a_plan_of_a_home_that_is_not_there_makes_none(tmp_path: Path) -> None:
    assert logged_runs(tmp_path / "none", "projection-head") == {}
    assert not (tmp_path / "none").exists()
    assert logged_runs(tmp_path, "projection-head") == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "there", "message"),
    [
        ({"gpus_per_run": 1.0}, [{"CPU": 8.0}], "a run needs 1 GPUs, and the cluster has 0; ask for fewer"),
        ({"workers": 9}, [{"CPU": 8.0}], "a run needs 9 CPUs, and the cluster has 8; ask for fewer"),
        (
            {"cpus_per_run": 4},
            [{"CPU": 3.0}, {"CPU": 3.0}],
            "a run needs 4 CPUs on one node, and the nodes have 3 CPUs; 3 CPUs; ask for fewer",
        ),
        (
            {"workers": 2, "cpus_per_run": 2, "gpus_per_run": 1.0},
            [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}],
            "each of 2 workers needs 2 CPUs and 1 GPUs on one node, and the nodes have 8 CPUs and 1 GPUs; "
            "1 CPUs and 1 GPUs; ask for fewer",
        ),
    ],
)
def test_what_has_no_room_is_refused(fields: dict[str, Any], there: list[dict[str, float]], message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        check_room(Resources(**fields), there)


def test_a_gpu_is_a_runs_own_or_shared() -> None:
    assert Resources(gpus_per_run=0.25).places([{"CPU": 16.0, "GPU": 2.0}]) == 8
    assert Resources(gpus_per_run=0.4).places([{"CPU": 16.0, "GPU": 2.0}]) == 4, "two on each, not five on both"
    assert Resources(gpus_per_run=0.25, max_concurrent=3).places([{"CPU": 16.0, "GPU": 2.0}]) == 3
    for gpus in (1.5, 2.0):
        with pytest.raises(
            UserError,
            match=rf"gpus_per_run {gpus:g} must be at most 1, for .* let 2 of them train .* with --workers 2$",
        ):
            Resources.checked(gpus_per_run=gpus)
    with pytest.raises(UserError, match=r"gpus_per_run 0\.5 must be 1 or 0 with workers 2: one GPU can't"):
        Resources.checked(gpus_per_run=0.5, workers=2)


@pytest.mark.parametrize(("workers", "gpus", "each"), [(1, 0, 0.0), (1, 1, 1.0), (8, 0, 0.0), (8, 8, 1.0), (2, 9, 1.0)])
def test_each_worker_takes_a_gpu_where_there_are_any(workers: int, gpus: int, each: float) -> None:
    there = [{"CPU": 64.0, "GPU": float(gpus)}, {"CPU": 1.0}]
    assert with_gpus(Resources(workers=workers), there).gpus_per_run == each


def test_more_workers_than_gpus_do_not_turn_to_the_cpu_by_themselves() -> None:
    there = [{"CPU": 64.0, "GPU": 3.0}, {"CPU": 1.0, "GPU": 1.0}]
    message = "each of 8 workers takes a GPU, and the cluster has 4; ask for at most 4 workers, or .*--gpus-per-run 0$"
    with pytest.raises(UserError, match=message):
        with_gpus(Resources(workers=8), there)
    assert with_gpus(Resources(workers=8, gpus_per_run=0.0), there).gpus == 0.0


@pytest.fixture
def two_cores() -> Iterator[Cluster]:
    """A node of two cores, joined."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_runs_on_several_workers_are_as_many_as_fit_when_nodes_come(two_cores: Cluster) -> None:
    from ray.tune.search import Searcher

    class Counting(Searcher):
        def suggest(self, trial_id: str) -> dict[str, Any]:
            return {"trial": trial_id}

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            pass

    searcher = growing(Counting(), Resources(workers=2))
    assert searcher.suggest("one") == {"trial": "one"}
    assert searcher.suggest("two") is None
    two_cores.add_node(num_cpus=2)
    assert Resources(workers=2).places(nodes()) == 2
    time.sleep(1.1)
    assert searcher.suggest("two") == {"trial": "two"}
    assert searcher.suggest("three") is None
    searcher.on_trial_complete("one")
    assert searcher.suggest("three") == {"trial": "three"}


def test_a_log_has_a_line_when_a_run_starts_and_some_on_its_way(
    monkeypatch: pytest.MonkeyPatch, small_run: RunConfig
) -> None:
    monkeypatch.setattr(display, "LINE_SECONDS", 0.0)
    log, run = StringIO(), small_run.with_field("epochs", 3)
    with Display(1, "test/linear/top1", Console(file=log, width=40)) as shown:
        shown.show("linear seed 0", run, Started({}, 0, []))
        shown.show("linear seed 0", run, EpochDone(1, {"train/loss": 2.5, "knn/top1": 0.5}))
        shown.show("linear seed 0", run, Progress(5, 12, 1234.0))
        monkeypatch.setattr(display, "LINE_SECONDS", 60.0)
        shown.show("linear seed 0", run, EpochDone(2, {"train/loss": 2.0}))
    assert log.getvalue().splitlines() == [
        "linear seed 0: started",
        "linear seed 0: epoch 1/3, loss 2.500, knn 50.0 %",
    ]


def test_a_home_in_a_jobs_own_folder_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    snapshot = tmp_path / "runtime_resources" / "working_dir_files" / "_ray_pkg_1"
    snapshot.mkdir(parents=True)
    monkeypatch.chdir(snapshot)
    assert make_home() == snapshot / "runs"
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    for home in (None, "results"):
        with pytest.raises(UserError, match=r"a job's own folder is thrown away after it, .* with --home or UNLAB"):
            make_home(home)
    assert make_home(tmp_path / "lasting").is_dir()


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN], ids=["at a terminal", "behind nohup"])
def test_sigterm_ends_like_ctrl_c(ctrl_c: Any) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGINT, ctrl_c)
    take_sigterm_as_ctrl_c()
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_package_of_a_job_is_the_code_alone_and_runs_by_itself(tmp_path: Path) -> None:
    submit.pack(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["unlabeled"]
    assert not any(path.is_symlink() or path.name == "__pycache__" for path in tmp_path.rglob("*"))
    code = "import platform, unlabeled.studies as s; print(platform.python_implementation(), s.__file__)"
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["CPython", str(tmp_path / "unlabeled" / "studies" / "__init__.py")]


def test_a_package_that_ray_would_not_take_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "MAX_BYTES", 2**20)
    with pytest.raises(
        UserError, match=r"^the code is \d+ MiB, and Ray takes 1 MiB of a job; move data out of .*\.npz"
    ):
        submit.pack(tmp_path)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "head:6379",
            "--address takes the address of a cluster's dashboard here, such as http://head:8265, got 'head:6379'",
        ),
        (
            "http://127.0.0.1:9",
            "no Ray job server answers at http://127.0.0.1:9, which --address names (Connection refused); give",
        ),
    ],
)
def test_an_address_where_nothing_answers_is_one_line(
    monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        submit.Cluster(address)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=f"^{re.escape(message.replace('--address', 'RAY_ADDRESS', 1))}"):
        submit.Cluster(address)
