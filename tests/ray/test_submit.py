"""Studies as jobs on a real cluster with its job server and token authentication: submitted, stopped, submitted again.

The cluster's processes are the test's own, on ports and in a folder of their own.
"""

import contextlib
import functools
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import psutil
import pytest
from forked import Forked
from patience import HANG_SECONDS, wait_until
from ray.cluster_utils import Cluster
from ray.job_submission import JobSubmissionClient

from unlabeled.dashboards import frames
from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.augment import PLAIN, two_views
from unlabeled.platform.config import RunConfig
from unlabeled.platform.encoder import ConvNetConfig

ROOT = Path(__file__).resolve().parent.parent.parent
IN = Path(sys.executable).parent
STUDY = "projection-head"
EPOCHS = 25
LONG = {"epochs": str(EPOCHS), "evaluation__every_epochs": str(EPOCHS)}
ANSI_AND_THE_LIKE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x9b]")

MakeDriver = Callable[..., Any]


class JobServer:
    """A cluster of one node that takes jobs.

    Attributes:
        address: of its dashboard.
        joined_at: where drivers join it.
        environment: what a user of it has set.
    """

    def __init__(self, folder: Path) -> None:
        port, dashboard, client = free_ports(3)
        self.address = f"http://127.0.0.1:{dashboard}"
        self.joined_at = f"127.0.0.1:{port}"
        token, given = folder / "token", secrets.token_hex(32)
        token.write_text(given)
        self._headers = {"Authorization": f"Bearer {given}"}
        self.environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "UNLABELED_HOME", "UNLABELED_DATA"):
            self.environment.pop(name, None)
        command = [str(IN / "ray"), "start", "--head", "--block", "--include-dashboard=true", "--disable-usage-stats"]
        command += ["--num-cpus", "2", "--port", str(port), "--dashboard-port", str(dashboard)]
        command += ["--ray-client-server-port", str(client), "--dashboard-agent-listen-port", "0"]
        self.log = folder / "cluster.log"
        with self.log.open("wb") as log:
            self._head = subprocess.Popen(
                [*command, "--temp-dir", str(folder / "ray")],
                cwd=folder,
                # `python` is this one, in the jobs too; no half a minute of draining at the end; and a stopped job has
                # more than Ray's three seconds to say its last words, for other tests keep the machine busy
                env={
                    **self.environment,
                    "PATH": f"{IN}:{os.environ['PATH']}",
                    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
                    "RAY_JOB_STOP_WAIT_TIME_S": str(HANG_SECONDS),
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        def answers() -> bool:
            assert self._head.poll() is None, self.log.read_text()
            with contextlib.suppress(ConnectionError, RuntimeError):
                self.jobs.list_jobs()
                return True
            return False

        wait_until(answers, self.log.read_text)

    @functools.cached_property
    def jobs(self) -> JobSubmissionClient:
        """What a script asks it with; `ray job`, which a person does, starts a process for each question."""
        return JobSubmissionClient(self.address, headers=self._headers)

    def ray(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(IN / "ray"), *words[:2], "--address", self.address, *words[2:])

    def unlabeled(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return forked.run(words, {**self.environment, **environment})

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=HANG_SECONDS,
        )

    def shutdown(self) -> None:
        ours = [self._head_process, *self._head_process.children(recursive=True)] if self._head.poll() is None else []
        self._head.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._head.wait(timeout=20)
        for process in psutil.wait_procs(ours, timeout=5)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._head.wait()

    @property
    def _head_process(self) -> psutil.Process:
        return psutil.Process(self._head.pid)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@pytest.fixture(scope="module")
def server() -> Iterator[JobServer]:
    """A job server; in a short path, because sockets lie there."""
    folder = Path(tempfile.mkdtemp(prefix="jobs", dir="/tmp"))
    server = JobServer(folder)
    try:
        server.wait()
        yield server
    finally:
        server.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that differs from the installed code: its trials log where their code lies."""
    checkout = tmp_path_factory.mktemp("checkout")
    for folder in ("platform", "methods", "studies", "dashboards", "unlabeled"):
        shutil.copytree(ROOT / folder, checkout / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    with (checkout / "platform" / "train" / "execution.py").open("a") as code:
        code.write(
            "\n\n_given = _environment\n\n\n"
            "def _environment(processor, compiler):\n    return {**_given(processor, compiler), 'code': __file__}\n"
        )
    return checkout


def test_a_job_runs_its_snapshot_is_stopped_and_goes_on_when_submitted_again(
    server: JobServer, checkout: Path, home: Path, driver: MakeDriver
) -> None:
    words = driver(home, "study", "run", STUDY, **LONG).words
    submitted = server.run(
        *(str(IN / "ray"), "job", "submit", "--address", server.address, "--no-wait", "--submission-id", "first"),
        *("--working-dir", str(checkout), "--", "python", "-m", "unlabeled", *words),
        *("--seeds", "0", "--max-concurrent", "1"),
    )
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    log = lambda: server.jobs.get_job_logs("first")  # noqa: E731
    wait_until(lambda: any(home.glob("work/*/step-*.pt")), log)
    assert server.ray("job", "stop", "first").returncode == 0
    # the job counts as stopped when its shell is, a moment before the driver has said so
    wait_until(lambda: "stopped; the same command goes on from the checkpoints" in log(), log)

    runs = frames.runs(STUDY, home)
    assert "KILLED" in set(runs["status"])
    assert "RUNNING" not in set(runs["status"]), log()
    assert any(home.glob("work/*/step-*.pt")), "checkpoints are kept"
    code = runs["environment:code"].dropna()
    assert len(code) > 0
    assert code.str.contains(r"/working_dir_files/_ray_pkg_\w+/unlabeled/platform/train/execution\.py$").all(), (
        code.tolist()
    )
    said = log()
    assert "seed 0: started" in said
    assert not ANSI_AND_THE_LIKE.search(said.partition("Running entrypoint")[2]), repr(said)
    assert "Traceback" not in said

    rest = [*words[words.index("--home") :], "--seeds", "0", "--max-concurrent", "1"]
    again = server.unlabeled("submit", "study", STUDY, "--address", server.address, *rest)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "goes on after step" in again.stdout
    assert f"report    file://{home}/reports/{STUDY}/index.html" in again.stdout
    after = frames.runs(STUDY, home)
    assert after["status"].tolist() == ["FINISHED"] * 3
    assert set(runs["run_id"]) <= set(after["run_id"])
    losses = frames.epochs(STUDY, home).query("metric == 'train/loss'")
    per_run = losses.groupby("run_id")["epoch"].apply(tuple)
    assert (per_run == tuple(range(1, EPOCHS + 1))).all(), per_run.to_dict()


def test_a_run_by_a_file_here_is_a_job_that_goes_on_when_nobody_follows_it(server: JobServer, tmp_path: Path) -> None:
    config = tmp_path / "mine.json"
    small = {"data": {"train_images": 256}, "encoder": ConvNetConfig(width=4), "evaluation": {"tsne_images": 0}}
    method = SimCLRConfig(views=two_views(PLAIN), head=(8,))
    run = RunConfig.checked(method=method, epochs=400, batch_size=64, **small)
    config.write_text(run.canonical_json())
    words = ("submit", "run", "--config", str(config), "--address", server.address, "--home", str(tmp_path / "home"))
    left = server.unlabeled(*words, "--set", "epochs=1", "--no-wait")
    assert left.returncode == 0, left.stderr
    (first,) = re.findall(r"follow it with `ray job logs --follow --address \S+ (\S+)`", left.stderr)

    status = server.jobs.get_job_status
    wait_until(lambda: status(first) == "SUCCEEDED", lambda: server.jobs.get_job_logs(first))

    checkpoints = lambda: set((tmp_path / "home" / "work").glob("*/step-*.pt"))  # noqa: E731
    of_the_first = checkpoints()
    said = tmp_path / "said"
    following = Forked(words, said, said, server.environment)
    try:
        wait_until(lambda: bool(checkpoints() - of_the_first), said.read_text)
        os.kill(following.pid, signal.SIGINT)
        assert following.wait() == 130
    finally:
        following.kill()
    (second,) = re.findall(r"the job goes on; .* stop it with `ray job stop --address \S+ (\S+)`", said.read_text())
    assert status(second) == "RUNNING"
    assert server.ray("job", "stop", second).returncode == 0
    statuses = lambda: sorted(frames.runs("runs", tmp_path / "home", every=True)["status"])  # noqa: E731
    wait_until(lambda: "RUNNING" not in statuses(), lambda: server.jobs.get_job_logs(second))
    assert statuses() == ["FINISHED", "KILLED"]


def test_a_search_is_submitted_like_a_study(server: JobServer, tmp_path: Path) -> None:
    small = ["data.train_images=1024", "encoder.width=4", "epochs=1", "evaluation.tsne_images=0"]
    sets = [word for setting in small for word in ("--set", setting)]
    words = ["submit", "search", "simclr-laptop", "--address", server.address, *sets]
    words += ["--trials", "2", "--best", "1", "--further-seeds", "1", "--max-concurrent", "1"]
    done = server.unlabeled(*words, "--home", str(tmp_path / "home"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "home" / "searches" / "simclr-laptop" / "winner.json").is_file()


def test_a_study_whose_file_has_its_own_method_is_submitted(server: JobServer, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    study = shutil.copy(Path(__file__).with_name("own_method_study.py"), folder / "my_way_up.py")
    words = ["submit", "study", str(study), "--address", server.address, "--workers", "2"]
    done = server.unlabeled(*words, "--home", str(tmp_path / "home"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 finished, 0 failed" in done.stdout
    (name,) = frames.runs("ways-up", tmp_path / "home")["method.name"]
    assert name == "way-up"


def test_a_job_without_a_home_is_refused_there_as_here(server: JobServer, checkout: Path) -> None:
    here = server.unlabeled("submit", "study", STUDY, "--address", server.address)
    assert here.returncode == 2
    assert "a job's own folder is thrown away after it" in here.stderr
    # What is not asked here is seen there: a relative home starts in the job's own folder.
    ask = [str(IN / "ray"), "job", "submit", "--address", server.address, "--working-dir", str(checkout)]
    there = server.run(*ask, "--", "python", "-c", "from unlabeled.platform.drive.home import make_home; make_home()")
    assert there.returncode == 1
    assert re.search(r"UserError: a job's own folder is thrown away after it, and the home .* lies there", there.stdout)


def test_a_job_that_fails_gives_its_exit_code(server: JobServer) -> None:
    failed = server.unlabeled("submit", "study", STUDY, "--address", server.address, "--home", "/proc/runs")
    assert failed.returncode == 2, failed.stdout + failed.stderr
    assert "the home /proc/runs can't be written" in failed.stdout


def test_a_wrong_or_missing_token_is_one_line(server: JobServer, tmp_path: Path) -> None:
    words = ("submit", "run", "simclr", "--address", server.address, "--home", "/nowhere")
    wrong = server.unlabeled(*words, RAY_AUTH_TOKEN="another", RAY_AUTH_TOKEN_PATH="")
    missing = server.unlabeled(*words, HOME=str(tmp_path), RAY_AUTH_MODE="disabled", RAY_AUTH_TOKEN_PATH="")
    for refused in (wrong, missing):
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1
        assert f"the cluster at {server.address} wants its token" in refused.stderr


def test_a_token_that_the_user_keeps_lets_him_in_whatever_the_command(server: JobServer, tmp_path: Path) -> None:
    kept = tmp_path / ".ray" / "auth_token"
    kept.parent.mkdir()
    shutil.copy(server.environment["RAY_AUTH_TOKEN_PATH"], kept)
    environment = {name: value for name, value in server.environment.items() if not name.startswith("RAY_AUTH_")}
    user = {**environment, "HOME": str(tmp_path)}

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return forked.run([*words, "--home", str(tmp_path / "home")], user)

    planned = call("study", "run", STUDY, "--dry-run", "--address", server.joined_at)
    assert planned.returncode == 0, planned.stderr
    assert "2 at once" in planned.stdout
    assert re.sub(r"waiting for .*\n", "", planned.stderr) == ""
    sent = call("submit", "run", "gone", "--address", server.address, "--no-wait")
    (stop,) = re.findall(r"stop it with `(RAY_AUTH_MODE=token ray job stop .*)`", sent.stderr)
    path = {"PATH": f"{IN}:{os.environ['PATH']}"}
    stopped = subprocess.run(stop, shell=True, env={**user, **path}, capture_output=True, check=False, timeout=200)
    assert stopped.returncode == 0


def test_more_runs_go_at_once_when_a_node_joins(home: Path, driver: MakeDriver) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    with contextlib.ExitStack() as stack:
        stack.callback(cluster.shutdown)
        study = driver(home, "study", "run", STUDY, **{**LONG, "epochs": "1000"})
        process = study.start("--seeds", "0", "--address", cluster.address)
        stack.callback(process.kill)
        assert len(under_way(home)) == 1
        cluster.add_node(num_cpus=1)
        wait_until(lambda: len(under_way(home)) == 2, study.said)
        process.terminate()
        assert process.wait() == 130, study.said()
    assert "RUNNING" not in set(frames.runs(STUDY, home)["status"])


def under_way(home: Path) -> set[Path]:
    return {path.parent for path in home.glob("work/*/step-*.pt")}
