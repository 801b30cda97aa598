"""What drivers left behind when MLflow took nothing: their journals, sent later."""

from collections.abc import Callable, Iterator

from unlabeled.platform.errors import UserError
from unlabeled.platform.track.connection import Connection
from unlabeled.platform.track.faults import AwayError, DeniedError
from unlabeled.platform.track.journal import Journal
from unlabeled.platform.track.leases import Leases
from unlabeled.platform.track.sender import Sender
from unlabeled.platform.track.writer import Writer


def send_waiting(
    store: Connection, study: str | None = None, say: Callable[[str], object] = lambda line: None
) -> tuple[int, dict[str, int]]:
    """Send what drivers that are no more left in the home's outbox for this store, of one study or all.

    Args:
        store: that takes it.
        study: whose results; all studies' where none is named.
        say: is told in a line what the store refused.

    Returns:
        How many runs were sent, and store -> how many wait for other stores; the home's own is called by nothing.

    Raises:
        UserError: the store stopped to answer; nothing is lost.
    """
    sent = 0
    elsewhere: dict[str, int] = {}
    for journal in Journal.left(store.home):
        identity, waiting = journal.header["store"], journal.runs_waiting()
        if study not in (None, journal.header["record"]["name"]):
            continue
        if identity != store.identity:
            elsewhere[identity] = elsewhere.get(identity, 0) + len(waiting)
            continue
        try:
            sent += len(waiting) - len(_send_left(store, journal, say))
        except (AwayError, DeniedError) as error:
            raise UserError(line_of_waiting(store, journal, len(waiting), error)) from None
        journal.remove()
    return sent, elsewhere


def _send_left(store: Connection, journal: Journal, say: Callable[[str], object]) -> set[str]:
    """Send a dead driver's journal under leases of our own; return the runs that were not sent.

    They are those that others have done since, and those that the store refuses.
    """
    header = journal.header
    _, ledger = store.open_experiment(header["record"])
    leases = Leases(store.client, ledger)
    leases.beat()
    leases.forget(header["driver"])  # it is dead, for its journal was free to lock
    for fingerprint in journal.runs_waiting():
        if leases.holder(fingerprint) in (header["driver"], None) and leases.end_of(fingerprint) is None:
            leases.take(fingerprint)
    writer = Writer(store, header["experiment"], header["record"], finds=True)
    sender = Sender(journal, writer, leases, say=lambda line: None)
    sender.send_all()
    leases.leave()
    for line in refused_in_words(sender):
        say(line)
    return sender.lost | sender.refused.keys()


def refused_in_words(sender: Sender) -> Iterator[str]:
    """Say what a store refused: records of runs that it has otherwise, and whole runs."""
    if aside := sender.writer.set_aside:
        (fingerprint, what), why = next(iter(aside.items()))
        yield (
            f"MLflow refused {len(aside)} of the records, such as {what} of run {fingerprint}: {why}; "
            f"all others are logged, and these are kept in {sender.journal.kept}"
        )
    if sender.refused:
        fingerprint, why = next(iter(sender.refused.items()))
        yield (
            f"MLflow refused what {len(sender.refused)} runs logged, such as run {fingerprint}: {why}; "
            "their checkpoints are kept, and the same command tries them again"
        )


def line_of_waiting(store: Connection, journal: Journal, num_runs: int, reason: object) -> str:
    """Say where results wait, why, and how they are sent."""
    return (
        f"the results of {num_runs} runs wait in {journal.path}: MLflow at {store.address} takes nothing ({reason}); "
        f"send them with `unlabeled send --home {store.home}` when it does"
    )
