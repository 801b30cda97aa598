"""The Ray cluster that runs go to: start or join it, and leave when told to."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unlabeled.platform.drive import awaited
from unlabeled.platform.drive.address import asked, check_answers, make_token, remedy
from unlabeled.platform.drive.cores import usable_cores
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.drive.room import check_room, nodes, with_gpus
from unlabeled.platform.errors import UserError

_STARTS = 3
_SOCKET_BYTES = 103 if sys.platform == "darwin" else 107  # most of a socket's path
_BELOW_BYTES = len("/ray/session_2026-11-25_01-28-48_319123_4194304/sockets/plasma_store") + 8  # of it, Ray's own


@contextmanager
def cluster(resources: Resources) -> Iterator[Resources]:
    """Start or join the Ray cluster, and leave it at the end; gives the resources with what it decides filled in.

    Raises:
        UserError: no cluster answers at the address, or one run needs more than the whole cluster has.
    """
    try:
        yield _join(resources)
    finally:
        import ray  # not before: it reads the variables once that joining sets

        ray.shutdown()


def take_sigterm_as_ctrl_c() -> None:
    """Let SIGTERM, which `ray job stop` and cluster managers send, end this process as Ctrl-C does."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: Any) -> None:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's background job: nothing but a kill would end it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


def _join(resources: Resources) -> Resources:
    address, named_by = asked(resources)
    own = address == "local"
    awaited.awaits("starting Ray" if own else f"joining the Ray cluster{f' at {address}' if address else ''}")
    if own:
        settings: dict[str, Any] = {"include_dashboard": False, "num_cpus": usable_cores(), **_short_place()}
        make_token()
    else:
        settings = {}
        check_answers(address, named_by)

    import ray

    try:
        _init(address=address, logging_level=logging.ERROR, log_to_driver=False, **settings)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError, SystemExit) as error:  # it gives up by leaving
        raise UserError(_not_started(error) if own else _refused(address, named_by, error)) from None
    take_sigterm_as_ctrl_c()  # Ray has its own way to end
    there = nodes()
    resources = with_gpus(resources, there)
    check_room(resources, there)
    awaited.awaits("waiting for the first worker, which loads PyTorch")
    return resources


def _init(**settings: Any) -> None:
    """Call Ray's init, again when its own half a minute for a cluster's start was too short for a busy machine."""
    import ray

    for left in reversed(range(_STARTS)):
        try:
            ray.init(**settings)
            return
        except Exception as error:
            if type(error) is not Exception or "timed out during startup" not in str(error):
                raise
            ray.shutdown()
            if not left:
                raise UserError(
                    f"Ray did not start within {_STARTS} times half a minute; the machine is too busy: try again later"
                ) from None


def _short_place() -> dict[str, str]:
    """Choose where a cluster of this process's own has its folder, if not where Ray would: a socket's path is short.

    Raises:
        UserError: no place is short enough and can be written to, or the one that RAY_TMPDIR asks for.
    """
    asked, given = os.environ.get("RAY_TMPDIR"), os.environ.get("TMPDIR")
    most = _SOCKET_BYTES - _BELOW_BYTES
    if asked or not given or sys.platform != "linux":  # as Ray looks for it
        first = asked or "/tmp"
    else:
        first = given
    for place in dict.fromkeys((first, *(() if asked else ("/tmp", "/var/tmp", "/dev/shm")))):
        if len(os.fsencode(os.path.abspath(place))) > most:
            continue
        for folder in (Path(place, "ray"), Path(place, f"ray-{os.getuid()}")):  # the first may be another user's
            if _is_writable(folder):
                return {} if folder == Path(first, "ray") else {"_temp_dir": str(folder)}
    named = f"RAY_TMPDIR is {asked}" if asked else f"TMPDIR is {given}" if given else "/tmp can't be"
    raise UserError(
        f"Ray has no place for its sockets: {named}, and it needs a folder that can be written, with a path of at most "
        f"{most} bytes; name one with RAY_TMPDIR"
    )


def _is_writable(folder: Path) -> bool:
    while not folder.exists():
        if folder == folder.parent:
            return False
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _refused(address: str | None, named_by: str, error: BaseException) -> str:
    return (
        f"the Ray cluster at {address or os.environ.get('RAY_ADDRESS')} can't be joined: {_reason(error)}; "
        "see that it runs this version of Ray; "
        f"else {remedy(named_by)}"
    )


def _not_started(error: BaseException) -> str:
    return f"Ray can't be started here: {_reason(error)}"


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "no answer"
    return (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0]
