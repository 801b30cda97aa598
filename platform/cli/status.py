"""``unlabeled status``: what is done, running and failed in a home, or on the server that is the store."""

from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from unlabeled.platform.cli.declared import say_beside, say_json
from unlabeled.platform.cli.options import Home, Json
from unlabeled.platform.drive import awaited

if TYPE_CHECKING:
    from unlabeled.platform.track.standing import Standing


def status(home: Home = None, json_: Json = False) -> None:
    """Say what is done, running and failed in a home, or on the server that MLFLOW_TRACKING_URI names."""
    from unlabeled.platform.drive.home import find_home, has_store

    place = find_home(home)
    address, found = "", []
    if has_store(place):
        awaited.awaits("loading MLflow")
        from unlabeled.platform.track import Store
        from unlabeled.platform.track.standing import standings

        store = Store(place)
        address, found = store.address, list(standings(store))
        awaited.end()
    waiting = _waiting(place)
    if json_:
        say_json({"home": str(place), "store": address, "waiting": waiting, "studies": [asdict(one) for one in found]})
        return
    if not found:
        print(
            f"no runs in {address or place}; `unlabeled study run NAME` makes some, `unlabeled study list` names them"
        )
    else:
        _say(found, address)
    if waiting:
        print(f"the results of {waiting} runs wait to be sent; `unlabeled send` sends them")


def _waiting(home: Path) -> int:
    """Return of how many runs something waits that no driver which lives is about to send."""
    if not any(home.glob("outbox/*.jsonl")):
        return 0
    from unlabeled.platform.track.journal import Journal

    with suppress(PermissionError):  # somebody else's home
        return sum(len(journal.runs_waiting()) for journal in Journal.left(home))
    return 0


def _say(found: "list[Standing]", address: str) -> None:
    width = max(len("study"), *(len(one.name) for one in found))
    print(f"{address}\n\n{'study':{width}} {'done':>6} {'running':>8} {'failed':>7} {'left':>5}  last began (UTC)")
    for one in found:
        last = datetime.fromtimestamp(one.last, UTC).strftime("%Y-%m-%d %H:%M")
        print(f"{one.name:{width}} {one.done:>6} {len(one.running):>8} {one.failed:>7} {one.left:>5}  {last}")
    for one in found:
        for name, driver in one.running.items():
            say_beside("running", f"{one.name}: {name} ({driver})", 10)
    if any(one.failed or one.left for one in found):
        print("\nthe command that began them tries failed runs again, and goes on with those that were left")
