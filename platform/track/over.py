"""What is logged of a run that is over: numbers that were measured later, while it stays as it ended."""

from unlabeled.platform.errors import UserError
from unlabeled.platform.track.faults import AwayError, DeniedError, RefusedError
from unlabeled.platform.track.log import Claim, StudyLog


class OverLog(StudyLog):
    """Logs more of runs that are over. The calls for a run: claim, then add, all at once, or killed; each ends it."""

    adds = "add"

    def claim(self, fingerprint: str) -> Claim:
        """Ask for a run that is done: it is ours to add to, or others have it in hand.

        Raises:
            UserError: the store can't tell.
        """
        try:
            return "ours" if self.leases.take(fingerprint) else "others"
        except (AwayError, DeniedError, RefusedError) as error:
            raise UserError(f"MLflow at {self.store.address} takes nothing ({error}); try again later") from None

    def killed(self, fingerprint: str) -> None:
        """Give a run back as it was."""
        self.add(fingerprint)
