"""A database behind the tests' MLflow server: PostgreSQL of its own where the machine has one, else SQLite."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from needs import postgresql
from patience import HANG_SECONDS, wait_until

FORCED = os.environ.get("UNLABELED_TEST_DATABASE", "")  # "sqlite" or "postgresql"; empty takes what there is


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None for SQLite."""
    return None if FORCED == "sqlite" else postgresql()


@contextlib.contextmanager
def database(folder: Path, empty_store: Path) -> Iterator[str]:
    """Start a database with its files in a folder, and yield its address; it ends with the context."""
    bin_folder = programs()
    if bin_folder is None:
        assert FORCED != "postgresql", "PostgreSQL's programs or psycopg2 are missing"
        shutil.copy(empty_store, folder)
        yield f"sqlite:///{folder / 'mlflow.db'}"
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Not in pytest's own folder, which every other session of pytest closes to other users when it starts.
    files = Path(tempfile.mkdtemp(prefix="postgres"))
    as_whom: dict[str, str] = {}
    if os.geteuid() == 0:  # which PostgreSQL refuses to be
        as_whom = {"user": "postgres"}
        shutil.chown(files, "postgres")
    command = [bin_folder / "initdb", "--pgdata", files, "--auth", "trust", "--username", "tests", "--no-sync"]
    subprocess.run(command, check=True, capture_output=True, **as_whom)
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={files}", "-c", "fsync=off"]
    with (folder / "postgres.log").open("ab") as log:
        command = [bin_folder / "postgres", "-D", files, "-p", str(port), *options]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=files, **as_whom)
    try:
        ready = [bin_folder / "pg_isready", "--host", "127.0.0.1", "--port", str(port), "--timeout", "1"]

        def answers() -> bool:
            assert process.poll() is None, (folder / "postgres.log").read_text()
            return subprocess.run(ready, capture_output=True).returncode == 0

        wait_until(answers, (folder / "postgres.log").read_text)
        yield f"postgresql+psycopg2://tests@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)  # its fast shutdown
        process.wait(timeout=HANG_SECONDS)
        shutil.rmtree(files)
