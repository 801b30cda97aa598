"""``unlabeled send``: send what waits for a store that did not answer."""

import sys

from unlabeled.platform.cli.options import Home


def send(home: Home = None) -> None:
    """Send the results that wait in the home for an MLflow store that was away."""
    from unlabeled.platform.drive.home import make_home
    from unlabeled.platform.track import Store, send_waiting

    place = make_home(home)
    if not any(place.glob("outbox/*.jsonl")):
        print(f"nothing waits in {place}")
        return
    store = Store(place)
    sent, elsewhere = send_waiting(store, say=lambda line: print(line, file=sys.stderr))
    print(f"sent the results of {sent} runs to {store.address}")
    for address, runs in elsewhere.items():
        how = (
            f"MLFLOW_TRACKING_URI={address} unlabeled send" if address else "unlabeled send without MLFLOW_TRACKING_URI"
        )
        print(f"{runs} more wait for {address or 'the store of this home'}; send them with `{how}`")
