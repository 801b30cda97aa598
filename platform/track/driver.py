"""A process that drives runs: its name, and whether it still lives."""

import os
import secrets
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

SOMEBODY = "another:?:?"  # the driver that was quicker, until the ledger is read again


@dataclass(frozen=True)
class Driver:
    """A process that drives runs.

    Attributes:
        name: unique; host, process id and a random part.
        machine: what process ids are unique within.
        process: its id there.
    """

    name: str
    machine: str
    process: int

    @classmethod
    def here(cls) -> "Driver":
        """Return this process as a driver."""
        return cls(f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}", _machine(), os.getpid())

    @property
    def is_gone(self) -> bool:
        """Whether its process is seen to have ended; False where that can't be seen."""
        if self.machine != _machine():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def said(name: str) -> str:
    """Say a driver's name as people do.

    >>> said("node7:4711:a1b2c3")
    'process 4711 on node7'
    """
    host, process, _ = name.rsplit(":", 2)
    return "another driver" if name == SOMEBODY else f"process {process} on {host}"


def _machine() -> str:
    """Name what process ids are unique within: this boot of this machine, and a container's own numbering."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # not a Linux
        return f"{socket.gethostname()}:{uuid.getnode():x}"
