"""How a cluster is found or started, as far as no cluster is needed to see it."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from unlabeled.platform.drive import cluster, handshake
from unlabeled.platform.drive.address import asked, check_address, make_token, use_token
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.errors import UserError

SETTINGS = bytes(3) + b"\x04" + bytes(5)  # how a gRPC server begins
TAKEN = SETTINGS + b"@\x0bgrpc-status\x010"
NO_HEAD = SETTINGS + b"@\x0bgrpc-status\x0212"  # a gRPC server of another kind


@contextlib.contextmanager
def listening(says: bytes, closes: bool = False) -> Iterator[str]:
    """A port of this machine where something listens that is, or is not, like a cluster."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection, contextlib.suppress(ConnectionError):
                connection.sendall(says)
                if not closes:
                    connection.settimeout(30)
                    while connection.recv(1024):
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.fixture(autouse=True)
def _as_a_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("RAY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TMPDIR", raising=False)


@pytest.mark.parametrize("variable", [False, True])
def test_an_address_where_no_cluster_answers_is_named_with_its_source(
    monkeypatch: pytest.MonkeyPatch, variable: bool
) -> None:
    monkeypatch.setattr("unlabeled.platform.drive.address._CONNECT_SECONDS", 0.3)
    source, remedy = ("RAY_ADDRESS", "unset RAY_ADDRESS") if variable else ("--address", "or leave it out")

    def refused(address: str) -> str:
        began = time.monotonic()
        if variable:
            monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(UserError) as found:
            check_address(Resources(address=None if variable else address))
        assert time.monotonic() - began < 20
        assert remedy in str(found.value)
        return str(found.value)

    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = f"127.0.0.1:{server.getsockname()[1]}"
    for address in (gone, f"ray://{gone}"):
        assert f"no Ray cluster answers at {address}, which {source} names (Connection refused)" in refused(address)
    for address in (f"http://{gone}", f"https://{gone}/"):
        assert f"{source} is {address}, the address of a dashboard, which takes jobs" in refused(address)
    with listening(b"") as address:
        assert f"at {address}, which {source} names (nothing within 0.3 seconds)" in refused(address)
    for says in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"x", b"", SETTINGS, NO_HEAD):
        with listening(says, closes=True) as address:
            assert f"at {address}, which {source} names (" in refused(address)
    assert f"at nowhere.invalid:6379, which {source} names (" in refused("nowhere.invalid:6379")


def test_an_address_where_a_cluster_answers_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(TAKEN) as address:
        check_address(Resources(address=address))
    with listening(TAKEN) as address:
        monkeypatch.setenv("RAY_ADDRESS", f" {address} ")
        check_address(Resources())
    for unset in ("", " "):
        monkeypatch.setenv("RAY_ADDRESS", unset)
        assert asked(Resources()) == ("local", ""), "Ray would join any cluster of this machine"
    monkeypatch.setenv("RAY_ADDRESS", "gone:6379")
    check_address(Resources(address="local"))


@pytest.fixture(scope="module", params=["token", "disabled"])
def head(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """The address of a head's own server, started alone, its way with tokens, and its token."""
    server = Path(ray.__file__).parent / "core" / "src" / "ray" / "gcs" / "gcs_server"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    token = "0123456789abcdef" * 10
    command = [str(server), f"--log_dir={tmp_path_factory.mktemp('head')}", "--config_list=e30="]
    command += [f"--gcs_server_port={port}", "--node-ip-address=127.0.0.1", "--session-name=alone"]
    command += [f"--node-id={'1' * 56}", "--metrics-agent-port=0", "--ray-commit=none"]
    environment = {**os.environ, "RAY_AUTH_MODE": request.param, "RAY_AUTH_TOKEN": token}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120.0
        while not answers(port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"127.0.0.1:{port}", request.param, token
        process.kill()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        return handshake.status("127.0.0.1", port, 5.0) is not None
    return False


def test_a_head_is_told_from_others_and_gets_a_token_if_it_wants_one(
    monkeypatch: pytest.MonkeyPatch, head: tuple[str, str, str]
) -> None:
    address, mode, token = head
    resources = Resources(address=address)
    if mode == "disabled":
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
        check_address(resources)
        assert "RAY_AUTH_MODE" not in os.environ, "workers there would be refused by a driver that wants tokens"
        return
    wants = f"^the cluster at {address} wants its token "
    with pytest.raises(UserError, match=rf"{wants}\(none is given here\); give it in RAY_AUTH_TOKEN, "):
        check_address(resources)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "fedcba9876543210")
    with pytest.raises(UserError, match=rf"{wants}\(what is given here is another\)"):
        check_address(resources)
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(UserError, match=rf"{wants}\(RAY_AUTH_MODE is disabled here\)"):
        check_address(resources)
    monkeypatch.delenv("RAY_AUTH_MODE")
    check_address(resources)
    assert os.environ.pop("RAY_AUTH_MODE") == "token"


def test_a_token_that_is_kept_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not use_token()
    assert "RAY_AUTH_MODE" not in os.environ
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert not use_token()
    assert os.environ["RAY_AUTH_MODE"] == "disabled", "as the user says"
    monkeypatch.delenv("RAY_AUTH_MODE")
    assert use_token(), "and said in the commands that are printed"
    assert os.environ.pop("RAY_AUTH_MODE") == "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "gone"))
    with pytest.raises(UserError, match=r"RAY_AUTH_TOKEN_PATH names .*/gone, which can't be read \(No such file"):
        use_token()


def test_a_user_without_a_home_has_a_token_of_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_token()
    assert "RAY_AUTH_TOKEN" not in os.environ, "Ray keeps its own"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    make_token()
    assert len(os.environ.pop("RAY_AUTH_TOKEN")) >= 32


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Ray does not ask TMPDIR")
def test_a_place_is_taken_that_is_short_enough_for_sockets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    short, long = Path("/tmp"), tmp_path / ("x" * 60)
    long.mkdir()
    assert 0 < cluster._SOCKET_BYTES - cluster._BELOW_BYTES < len(str(long))
    monkeypatch.setenv("TMPDIR", str(short))
    assert cluster._short_place().get("_temp_dir", "/tmp/ray").startswith("/tmp/ray"), "Ray's own, or one beside it"
    monkeypatch.setenv("TMPDIR", str(long))
    place = cluster._short_place()["_temp_dir"]
    assert place.startswith(("/tmp/", "/var/tmp/", "/dev/shm/"))
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    with pytest.raises(UserError, match=r"no place for its sockets: RAY_TMPDIR is /.*/x+, .* at most \d+ bytes; name"):
        cluster._short_place()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Ray does not ask TMPDIR")
def test_a_place_is_taken_that_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = {"/gone", "/tmp/ray"}  # another user's
    monkeypatch.setenv("TMPDIR", "/gone")
    monkeypatch.setattr(cluster, "_is_writable", lambda folder: not any(str(folder).startswith(c) for c in closed))
    assert cluster._short_place() == {"_temp_dir": "/var/tmp/ray"}
    closed -= {"/tmp/ray"}
    assert cluster._short_place() == {"_temp_dir": "/tmp/ray"}
    closed |= {"/tmp", "/var/tmp", "/dev/shm"}
    with pytest.raises(UserError, match=r"^Ray has no place for its sockets: TMPDIR is /gone, .* with RAY_TMPDIR$"):
        cluster._short_place()
