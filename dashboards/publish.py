"""From the store to pages: read studies' runs, write their reports, and log those with the runs.

The report is logged as artifacts of a run of its own named ``report``, one a study. An experiment can't have artifacts;
the newest run could, but then a finished run would change, older copies would stay in the runs before it, and nobody
would look for a study's answer there. The report's run stands out in MLflow's list with the verdicts as its
description, and no reader of runs gives it.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unlabeled.dashboards import frames, sections
from unlabeled.dashboards.counted import counted
from unlabeled.dashboards.folder import check_record, written_in
from unlabeled.dashboards.measured import slug
from unlabeled.dashboards.report import Around, Report, read_report
from unlabeled.dashboards.search_report import SearchReport, is_search, search_report
from unlabeled.dashboards.website import About, Declared, Searched, method_page, site_links, used_by, write_site
from unlabeled.platform.addresses import scrub
from unlabeled.platform.errors import UserError
from unlabeled.platform.home import find_home, make_home
from unlabeled.platform.track import Store
from unlabeled.platform.track.reports import log_report, set_view

MOST_COLUMNS = 6  # parameters that fit beside the metrics


@dataclass
class Published:
    """What became of the studies of a store.

    Attributes:
        page: the site's first page.
        written: the studies that have a report now.
        failed: study -> why it could not be reported.
        not_logged: study -> why its report is not in MLflow, though it is written.
    """

    page: Path
    written: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    not_logged: dict[str, str] = field(default_factory=dict)


def publish(
    study: str,
    home: str | Path | None = None,
    out: str | Path | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Write the report of a study's newest runs, log it to MLflow, and return its page.

    Args:
        study: the study's name.
        home: where its store is.
        out: the report's folder; by default ``reports/STUDY`` in the home.
        say: takes a line where the report is written but could not be logged; by default stderr does.

    Raises:
        UserError: the study has no runs there, or its runs can't be compared.
    """
    logged = frames.read(study, home)
    if logged is None:
        raise UserError(f"no run of {study!r} has begun in {find_home(home)}; start with `unlabeled study run {study}`")
    report = (
        search_report(logged, Store(find_home(home)), find_home(home), study)
        if is_search(logged)
        else read_report(logged.record, logged.runs, logged.epochs, logged.pictures, study)
    )
    folder = Path(out) if out else make_home(home) / "reports" / study
    page = report.write(folder, _around(report, written_in(folder.parent)))
    problem = _log(Store(find_home(home)), study, report)
    if problem:
        say(problem) if say else print(problem, file=sys.stderr)
    return page


def publish_all(
    home: str | Path | None = None,
    out: str | Path | None = None,
    studies: Sequence[Declared] = (),
    methods: Sequence[About] = (),
) -> Published:
    """Write the reports of all studies of a store as a site; what can't be read is named, and the others go on.

    Args:
        home: where the store is.
        out: the site's folder; by default ``reports`` in the home.
        studies: those that are declared, in reading order: their reports come first, and those without runs are listed.
        methods: what the methods say of themselves.
    """
    store = Store(find_home(home))
    order = {study.name: place for place, study in enumerate(studies)}
    names = sorted(_names(store), key=lambda name: (order.get(name, len(order)), name))
    reports: dict[str, Report] = {}
    searches: dict[str, SearchReport] = {}
    failed: dict[str, str] = {}
    for name in names:
        try:
            logged = frames.read(name, home)
            if logged is None:
                continue
            if is_search(logged):
                searches[name] = search_report(logged, store, find_home(home), name)
            else:
                reports[name] = read_report(logged.record, logged.runs, logged.epochs, logged.pictures, name)
        except UserError as error:
            failed[name] = str(error)
        except Exception as error:  # whatever is wrong with one study's records, the others have their reports
            failed[name] = scrub(f"what is logged of it can't be read ({type(error).__name__}: {error})")
    folder = Path(out) if out else make_home(home) / "reports"
    has_record = {name: one.has_record for name, one in reports.items()}
    has_record |= {name: one.has_record for name, one in searches.items()}
    for name, has in has_record.items():
        try:
            check_record(folder / name, has)
        except UserError as error:
            failed[name] = str(error)
    reports = {name: one for name, one in reports.items() if name not in failed}
    searches = {name: one for name, one in searches.items() if name not in failed}
    listed = [
        Searched(name, one.title, len(one.runs), int((one.runs["status"] == "FINISHED").sum()), f"{name}/index.html")
        for name, one in searches.items()
    ]
    of_methods = dict.fromkeys([*(method.name for method in methods), *used_by(reports)])
    site = ["claims.html", *(method_page(name) for name in of_methods)]
    beside = [one.pages(folder / name, _around(one, site)) for name, one in searches.items()]
    page = write_site(folder, reports, studies, methods, listed, failed, beside)
    found = Published(page, [*reports, *searches], failed)
    written: dict[str, Report | SearchReport] = {**reports, **searches}
    for name, report in written.items():
        problem = _log(store, name, report)
        if problem:
            found.not_logged[name] = problem
    return found


def _names(store: Store) -> list[str]:
    """List the experiments that are studies: a server may hold others', whose names need not be names of folders."""
    found = []
    for name, _ in store.pages(""):
        if slug(name) == name:
            first = next(iter(store.runs(name)), None)
            if first is not None and "unlabeled.study" in first.data.tags:
                found.append(name)
    return found


def _around(report: Report | SearchReport, site: Sequence[str]) -> Around:
    """Return the links of a report to the site that it stands in, whose files are given; none where it is no site."""
    if "claims.html" not in site:
        return Around()
    done = counted(report.runs)
    names = dict.fromkeys(done["method.name"].dropna().astype(str)) if "method.name" in done else {}
    pages = ((name, method_page(name)) for name in names)
    return Around(site_links("../"), tuple((name, f"../{page}") for name, page in pages if page in site))


def _columns(report: Report) -> tuple[list[str], list[str], list[str]]:
    """Return the metrics, parameters and tags by which a person tells this study's runs apart."""
    metrics = [one.metric for one in report.parts]
    metrics += [f"untrained/{name.removeprefix('test/')}" for name in metrics] + ["test/knn/top1", "train/loss"]
    set_by_rows = {path for fields in report.record["rows"].values() for path in fields}
    differing = sections.settings(report.record, report.done, report.rows)["differing"]
    parameters = [
        name for name in differing if any(name == path or name.startswith(f"{path}.") for path in set_by_rows)
    ]
    return (
        [name for name in dict.fromkeys(metrics) if name in report.runs],
        parameters[:MOST_COLUMNS],
        ["unlabeled.reason"] if (report.runs["status"] == "FAILED").any() else [],
    )


def _log(store: Store, study: str, report: Report | SearchReport) -> str:
    """Log a report; return what went wrong, if anything, because the report itself is there."""
    tags: dict[str, str] = {}
    if isinstance(report, SearchReport):
        found, columns = report.answer, report.columns
    else:
        verdicts = "\n".join(f"- **{v.decision}**: {v.claim['statement']} {v.reason}" for v in report.judged)
        found, columns = verdicts or "No claims to judge.", _columns(report)
        tags = {f"verdicts.{name.replace(' ', '_')}": str(number) for name, number in report.decisions.items()}
    description = f"**{report.title}**\n\n{found}\n\nThe page is `report/index.html` among the artifacts."
    try:
        with tempfile.TemporaryDirectory() as folder:  # written afresh: the site's links lead nowhere from MLflow
            for name, text in report.pages(Path(folder)).files.items():
                (Path(folder) / name).write_text(text, encoding="utf-8")
            log_report(store, study, Path(folder), description, tags)
        set_view(store, study, *columns)
    except Exception as error:  # a store that is read-only or away keeps nobody from reading the page
        return scrub(
            f"the report is written, but not logged to MLflow: {str(error).splitlines()[0] if str(error) else error!r}"
        )
    return ""
