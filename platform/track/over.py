"""What is logged of a run that is over: numbers that were measured later, while it stays as it ended."""

from collections.abc import Mapping

from unlabeled.platform.errors import UserError
from unlabeled.platform.track.faults import AwayError, DeniedError, RefusedError
from unlabeled.platform.track.log import StudyLog
from unlabeled.platform.train.events import Metrics


class OverLog(StudyLog):
    """Logs more of runs that are over. The calls for a run, between ``open`` and ``close``: take, then add."""

    def take(self, fingerprint: str) -> bool:
        """Ask for a run, so that no other command adds to it meanwhile; False where another driver has it in hand.

        Raises:
            UserError: the store can't tell.
        """
        try:
            return self.leases.take(fingerprint)
        except (AwayError, DeniedError, RefusedError) as error:
            raise UserError(f"MLflow at {self.store.address} takes nothing ({error}); try again later") from None

    def add(
        self,
        fingerprint: str,
        *,
        params: Mapping[str, str] | None = None,
        metrics: Metrics | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log metrics and tags of a run that was taken, all at once, and give it back."""
        self._append(fingerprint, "add", params=params or {}, metrics=metrics or {}, tags=tags or {})
