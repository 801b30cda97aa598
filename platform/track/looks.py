"""Looks at a study's claims, kept in its ledger: so that nobody's next look forgets what was looked at before.

A look is a parameter of the ledger, ``look.BASE.NUMBER``, written once and for all (see :mod:`.leases`): of two drivers
that look at the same moment one gets the number, the other reads what it wrote and looks again. A look is one write, so
a driver that is killed has recorded it or not, and nobody is told of one before it is recorded.
"""

import json
from collections.abc import Mapping
from typing import Any

from mlflow.exceptions import MlflowException

from unlabeled.platform.errors import UserError
from unlabeled.platform.track.connection import Connection
from unlabeled.platform.track.faults import RefusedError, first_line, translated_errors
from unlabeled.platform.track.leases import LOOK, write_once

_MOST = 6000  # characters of a parameter that MLflow keeps


def looks_of(store: Connection, study: str, base: str) -> list[dict[str, Any]]:
    """Return the looks at a study's claims around one base, the oldest first, as they were recorded.

    Raises:
        UserError: the store does not answer, or one can't be read.
    """
    try:
        ledger = _ledger(store, study)
        params = store.client.get_run(ledger).data.params if ledger else {}
    except (MlflowException, OSError) as error:
        raise UserError(f"the looks at {study!r} can't be read from {store.address}: {first_line(error)}") from None
    found: dict[int, dict[str, Any]] = {}
    for key, value in params.items():
        kind, _, rest = key.partition(".")
        if kind == LOOK and (place := rest.rpartition("."))[0] == base:
            try:
                found[int(place[2])] = dict(json.loads(value))
            except (ValueError, TypeError):
                raise UserError(
                    f"a look at {study!r} can't be read, parameter {key} of run {ledger} in {store.address}: it was "
                    "written by another version, or changed by hand; judge the study with that version"
                ) from None
    return [found[number] for number in sorted(found)]


def record_look(store: Connection, study: str, base: str, number: int, look: Mapping[str, Any]) -> bool:
    """Record a look; False where another driver has recorded that number.

    Raises:
        AwayError, DeniedError, RefusedError: as the store answers.
    """
    with translated_errors():
        ledger = _ledger(store, study)
    value = json.dumps(look, separators=(",", ":"))
    if ledger is None:
        raise RefusedError("the experiment has no ledger, as it was not made by unlabeled")
    if len(value) > _MOST:
        raise RefusedError(
            f"MLflow keeps {_MOST} characters of a parameter, and {len(look['claims'])} claims have more"
        )
    return write_once(store.client, ledger, f"{LOOK}.{base}.{number}", value)


def _ledger(store: Connection, study: str) -> str | None:
    found = store.client.get_experiment_by_name(study)
    return None if found is None else found.tags.get("unlabeled.ledger")
