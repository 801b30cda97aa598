"""MLflow servers of the tests' own."""

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for databases, and for fake_driver, which is a script too
from databases import database, programs
from patience import wait_until


def pytest_report_header() -> str:
    """Say what the server tests run on."""
    return f"database behind the MLflow server: {'PostgreSQL' if programs() else 'SQLite'}"


class Server:
    """An MLflow server on a port and a folder of its own: a database behind it, artifacts through it."""

    def __init__(self, folder: Path, backend: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder, self.backend = folder, backend
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.backend, "--serve-artifacts"]
        command += ["--artifacts-destination", str(self.folder / "artifacts"), "--port", str(self.port)]
        command += ["--host", "127.0.0.1", "--workers", "1"]
        quiet = {**os.environ, "PYTHONWARNINGS": "ignore", "MLFLOW_DISABLE_TELEMETRY": "true"}
        quiet["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # half of its start, and nothing here uses it
        quiet.pop("MLFLOW_TRACKING_URI", None)
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=quiet, stdout=log, stderr=log, start_new_session=True)
        wait_until(self._answers, (self.folder / "server.log").read_text)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "server.log").read_text()
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=10).close()
        except OSError:
            return False
        return True

    def signal(self, number: int) -> None:
        """Send a signal to the server and all that it started."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def stop(self) -> None:
        """End it, as a machine that goes down does."""
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGKILL)
            self._process.wait()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Server]:
    """A server that is up for the whole session."""
    folder = tmp_path_factory.mktemp("server")
    with database(folder, empty_store) as address:
        server = Server(folder, address)
        server.start()
        yield server
        server.stop()


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, named as the store by the environment; up again if the test before has ended it."""
    if running._process is None or running._process.poll() is not None:
        running.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.uri)
    return running


class Refusing(http.server.BaseHTTPRequestHandler):
    """A server that knows nobody; ``heard`` are the credentials that it was given."""

    status = 401
    heard: ClassVar[set[str]] = set()

    def answer(self) -> None:
        self.heard.add(self.headers.get("Authorization", ""))
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"You are not authenticated.")

    do_GET = do_POST = do_PUT = answer  # noqa: N815, the names that http.server calls

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[Callable[..., str]]:
    """Serve an answer of a given status, and note who asks; returns the address."""
    servers = []

    def serve(status: int, heard: set[str] | None = None) -> str:
        heard = set() if heard is None else heard
        handler = type("Handler", (Refusing,), {"status": status, "heard": heard})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()
