"""The password in a tracking address is used, and is in nothing that is printed, written or logged."""

import base64
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import Server
from fake_driver import FakeDriver, make_study

from unlabeled.dashboards import frames
from unlabeled.dashboards.publish import publish
from unlabeled.platform import cli
from unlabeled.platform.drive import submit
from unlabeled.platform.drive.address import check_answers
from unlabeled.platform.errors import UserError
from unlabeled.platform.track import Store, send_waiting, sender
from unlabeled.platform.train.events import Failed, Started

USER, PASSWORD = "anna", "s3cret w0rd/@"
QUOTED = quote(PASSWORD, safe="")
KNOWN = (PASSWORD, QUOTED, "s3cret", f"{USER}:", base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())


def assert_no_secret(text: str) -> None:
    found = [secret for secret in KNOWN if secret in text]
    assert not found, text


def assert_no_secret_in(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert_no_secret(path.read_bytes().decode("latin-1"))


@pytest.fixture
def set_address(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Name a server with user and password; what that sets in the environment ends with the test."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")

    def set_it(address: str) -> str:
        scheme, _, rest = address.partition("://")
        secret = f"{scheme}://{USER}:{QUOTED}@{rest}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", secret)
        return secret

    return set_it


def run(words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """Run a command, and return all that it said."""
    monkeypatch.setattr(sys, "argv", ["unlabeled", *words])
    with pytest.raises(SystemExit):
        cli.main()
    return "".join(capfd.readouterr())


COMMANDS = [["report", "heads"], ["report", "--all"], ["ui"], ["send"], ["study", "run", "projection-head"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("answer", ["none", "401", "404", "500"])
def test_no_command_prints_it_whatever_the_server_answers(
    command: list[str],
    answer: str,
    refusing: Callable[..., str],
    set_address: Callable[[str], str],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    heard: set[str] = set()
    set_address("http://127.0.0.1:9" if answer == "none" else refusing(int(answer), heard))
    (home / "outbox").mkdir()
    (home / "outbox" / "one.jsonl").touch()
    said = run([*command, "--home", str(home)], monkeypatch, capfd)
    assert "unlabeled: the MLflow" in said
    assert "http://127.0.0.1:" in said
    assert_no_secret(said)
    if answer != "none":
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        assert heard == {f"Basic {basic}"}, "the server was not told who asks"


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql+psycopg2://{USER}:{QUOTED}@127.0.0.1:9/mlflow",
        f"mysql+nothing://{USER}:{QUOTED}@127.0.0.1:9/mlflow",
        f"http://{USER}:{QUOTED}@127.0.0.1:port",
        f"http://127.0.0.1:9/?token={QUOTED}",
        f"gopher://{USER}:{QUOTED}@host",
        f"http://{QUOTED}@127.0.0.1:9",
    ],
)
def test_no_error_about_an_odd_address_holds_it(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1)  # of a database that does not answer
    with pytest.raises(UserError) as caught:
        Store(tmp_path)
    assert_no_secret(str(caught.value))


def test_a_study_on_a_server_logs_it_nowhere(
    server: Server, set_address: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    secret = set_address(server.uri)
    driver = FakeDriver(home, 2, "without-secrets")

    def after(number: int, epoch: int) -> None:
        if (number, epoch) == (0, 2):
            assert_no_secret_in(home)
            for journal in (home / "outbox").glob("*.jsonl"):
                assert server.uri in journal.read_text()

    assert driver.go(after).finished == 2
    assert_no_secret(driver.said)
    runs = frames.runs("without-secrets")
    assert runs["link"].str.startswith(f"{server.uri}/#/experiments/").all()
    assert runs["link"].str.endswith("?workflowType=machine_learning").all()
    assert_no_secret(runs.to_csv())
    page = publish("without-secrets", home)
    assert "Which head?" in page.read_text()
    assert_no_secret_in(home)
    store = Store(home)
    for logged in store.client.search_runs([store.experiment("without-secrets").experiment_id]):
        assert_no_secret(str(logged.to_dictionary()))
    assert_no_secret("".join(link for _, link in store.pages(store.address)))

    again = FakeDriver(home, 3, "without-secrets")
    with again.recorder:
        again.recorder.unfinished()
        assert again.recorder.next(again.display) == 2
        again.recorder.take(again.display, 2, Started({}, 0, []))
        again.recorder.take(again.display, 2, Failed(f"ConnectionError: {secret}/api said no"))
    assert frames.runs("without-secrets")["reason"].iloc[-1] == f"ConnectionError: {server.uri}/api said no"


def test_what_waits_names_the_server_alone_and_is_sent_whoever_asks(
    server: Server, set_address: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(sender, "PATIENCE_SECONDS", 0.5)
    set_address(server.uri)
    driver = FakeDriver(tmp_path, 1, "waits-without-secrets")

    def after(number: int, epoch: int) -> None:
        if epoch == 1:
            driver.recorder.log.flush()
            server.stop()

    with pytest.raises(UserError, match=r"results of 1 runs wait") as caught:
        driver.go(after)
    assert_no_secret(str(caught.value) + driver.said)
    assert_no_secret_in(tmp_path / "outbox")
    server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)  # somebody else's user, or none
    assert send_waiting(Store(tmp_path)) == (1, {})


def test_an_exception_that_nobody_expected_does_not_print_it(
    set_address: Callable[[str], str], home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = set_address("http://127.0.0.1:9")

    def fails(place: Path) -> None:
        raise RuntimeError(f"Max retries exceeded with url {secret}/api/2.0") from ValueError(secret)

    monkeypatch.setattr("unlabeled.platform.track.Store", fails)
    (home / "outbox").mkdir()
    (home / "outbox" / "one.jsonl").touch()
    said = run(["send", "--home", str(home)], monkeypatch, capfd)
    assert "RuntimeError: Max retries exceeded with url http://127.0.0.1:9/api/2.0" in said
    assert_no_secret(said)


def test_a_job_is_not_given_it_and_its_words_do_not_say_it(
    set_address: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    class Client:
        def submit_job(self, **words: Any) -> str:
            given.update(words)
            return "job"

    set_address("http://tracking:5000")
    there = submit.Cluster.__new__(submit.Cluster)
    there.address, there._client, there._mode = f"https://{USER}:{QUOTED}@head:8265", Client(), ""
    monkeypatch.setattr(submit, "pack", lambda folder: None)
    assert there.submit(["study", "run", "projection-head"]) == "job"
    assert given["runtime_env"]["env_vars"]["MLFLOW_TRACKING_URI"] == "http://tracking:5000"
    assert_no_secret(str(given) + there.how_to_stop("job") + there.how_to_follow("job"))

    def refuses(**_: Any) -> str:
        raise RuntimeError(f"no answer from {there.address}/api/jobs")

    monkeypatch.setattr(there._client, "submit_job", refuses)
    with pytest.raises(UserError, match="no answer from https://head:8265/api/jobs") as caught:
        there.submit(["study", "run", "projection-head"])
    assert_no_secret(str(caught.value))


@pytest.mark.parametrize("scheme", ["http", "https", "ray"])
def test_no_error_about_a_cluster_holds_it(scheme: str, tmp_path: Path) -> None:
    address = f"{scheme}://{USER}:{QUOTED}@127.0.0.1:9"
    for asks in (submit._check_answers, functools.partial(check_answers, named_by="--address")):
        with pytest.raises(UserError) as caught:
            asks(address)
        assert_no_secret(str(caught.value))


def test_two_stores_in_one_script_do_not_share_a_password(
    refusing: Callable[..., str], set_address: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: set[str] = set()
    set_address(refusing(401))
    with pytest.raises(UserError, match="keeps us out"):
        Store(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", refusing(401, heard))
    with pytest.raises(UserError, match="keeps us out"):
        Store(tmp_path)
    assert heard == {""}


def test_a_home_that_is_given_is_read_whatever_the_environment_names(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeDriver(home, 1).go()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert len(frames.runs("heads", home)) == 1
    assert set(frames.epochs("heads", home)["epoch"]) == {1, 2, 3}
    assert frames.record("heads", home)["name"] == make_study(1).name
    with pytest.raises(UserError, match=r"http://127.0.0.1:9 does not answer"):
        frames.runs("heads")
