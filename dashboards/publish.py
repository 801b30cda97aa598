"""From the store to a page: read a study's runs and write its report."""

from pathlib import Path

from unlabeled.dashboards import frames
from unlabeled.dashboards.report import write_report
from unlabeled.platform.errors import UserError
from unlabeled.platform.home import find_home, make_home


def publish(study: str, home: str | Path | None = None, out: str | Path | None = None) -> Path:
    """Write the report of a study's newest runs, and return its page.

    Args:
        study: the study's name.
        home: where its store is.
        out: the report's folder; by default ``reports/STUDY`` in the home.

    Raises:
        UserError: the study has no runs there.
    """
    logged = frames.read(study, home)
    if logged is None:
        raise UserError(f"no run of {study!r} has begun in {find_home(home)}; start with `unlabeled study run {study}`")
    folder = Path(out) if out else make_home(home) / "reports" / study
    return write_report(logged.record, logged.runs, logged.epochs, logged.pictures, folder)
