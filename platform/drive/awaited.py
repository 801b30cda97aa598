"""What is awaited, said at once and until something is seen: a person never wonders whether a command hangs.

On a terminal a line that lives; elsewhere a line for whatever takes more than a moment. Each step of a command says by
:func:`awaits` what comes next: PyTorch, the store, Ray, the first worker. A :class:`~.display.Display` takes the line
over while it shows runs.
"""

import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

SAY_AFTER_SECONDS = 1.5  # of a wait that no terminal shows
_lock = threading.RLock()
_what, _since, _begun = "", 0.0, 0.0
_is_quiet = _is_taken = False
_live: "Live | None" = None
_teller: "_Teller | None" = None


def awaits(what: str) -> None:
    """Say what is awaited from now on, such as "loading PyTorch"; nothing ends it."""
    global _what, _since, _begun, _teller
    with _lock:
        now = time.monotonic()
        _what, _since, _begun = what, now, _begun or now
        if not what or _is_quiet or _is_taken:
            return
        if sys.stderr.isatty():
            _show()
        elif _teller is None:
            _teller = _Teller()
            _teller.start()


def word() -> str:
    """Return what is awaited; nothing where runs are seen."""
    return _what


def take_over() -> None:
    """Leave the saying to a display, until :func:`give_back`."""
    global _is_taken
    with _lock:
        _is_taken = True
        _hide()


def give_back() -> None:
    """Say it here again."""
    global _is_taken, _what, _begun
    with _lock:
        _is_taken, _what, _begun = False, "", 0.0


def end() -> None:
    """Nothing is awaited any more: the command says how it went."""
    global _what, _begun, _teller
    with _lock:
        _what, _begun = "", 0.0
        _hide()
        if _teller is not None:
            _teller.over.set()
            _teller = None


def be_quiet(is_quiet: bool) -> None:
    """Say nothing at all, or again."""
    global _is_quiet
    with _lock:
        _is_quiet = is_quiet
        if is_quiet:
            _hide()


def is_quiet() -> bool:
    """Tell whether nothing is to be said on the way."""
    return _is_quiet


def _show() -> None:
    global _live
    if _live is None:
        from rich.console import Console
        from rich.live import Live

        _live = Live(
            console=Console(stderr=True),
            refresh_per_second=2,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # answers that go to a file or a program are not the line's
            get_renderable=_line,
        )
        _live.start()
    _live.refresh()


def _hide() -> None:
    global _live
    if _live is not None:
        _live.stop()
        _live = None


def _line() -> "Text":
    from rich.text import Text

    return Text(f"{_what}, {time.monotonic() - _begun:.0f} s" if _what else "", "dim")


class _Teller(threading.Thread):
    """Says in a log what has been awaited for longer than a moment, each thing once."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="awaited")
        self.over = threading.Event()
        self._said = ""

    def run(self) -> None:
        while not self.over.wait(0.1):
            with _lock:
                what, is_long = _what, time.monotonic() - _since > SAY_AFTER_SECONDS
                is_due = bool(what) and is_long and what != self._said and not (_is_taken or _is_quiet)
                self._said = what if is_due else self._said
            if is_due:
                print(f"{what} ...", file=sys.stderr, flush=True)
