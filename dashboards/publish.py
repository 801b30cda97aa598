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

from unlabeled.dashboards import frames
from unlabeled.dashboards.bases import matching, not_one
from unlabeled.dashboards.folder import check_record, written_in
from unlabeled.dashboards.looking import looked
from unlabeled.dashboards.measured import slug
from unlabeled.dashboards.method_pages import FAMILIES, About, all_about, method_page, used_by
from unlabeled.dashboards.pages import Around, Reported, site_links
from unlabeled.dashboards.reading import read_report
from unlabeled.dashboards.report import Report
from unlabeled.dashboards.single import KIND
from unlabeled.dashboards.single_report import read_single
from unlabeled.dashboards.website import Declared, Searched, write_site
from unlabeled.platform.addresses import scrub
from unlabeled.platform.drive.home import find_home, make_home
from unlabeled.platform.errors import UserError
from unlabeled.platform.track import Store
from unlabeled.platform.track.reports import log_report, set_view


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
    base: str = "",
    or_newest: bool = False,
) -> Path:
    """Write the reports of a study's runs, a page for each base, log them to MLflow, and return the page asked for.

    Args:
        study: the study's name.
        home: where its store is.
        out: the report's folder; by default ``reports/STUDY`` in the home.
        say: takes a line where the report is written but could not be logged; by default stderr does.
        base: of which base, by the beginning of its digest; by default the newest, whose page lies in the report's
            folder itself. The others' lie below it.
        or_newest: give the newest base's page where that base has no runs: those of another may have had the same
            settings, and be done.

    Raises:
        UserError: the study has no runs there, no such base, or its runs can't be compared.
    """
    report, unrecorded = _read(study, home)
    if report is None:
        raise UserError(f"no run of {study!r} has begun in {find_home(home)}; start with `unlabeled study run {study}`")
    folder = Path(out) if out else make_home(home) / "reports" / study
    page = report.write(folder, _around(report, written_in(folder.parent)))
    if base:
        page = folder / _place(study, report, base, or_newest) / "index.html"
    for problem in filter(None, (unrecorded, _log(Store(find_home(home)), study, report))):
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
    found: dict[str, Reported] = {}
    failed: dict[str, str] = {}
    unrecorded: dict[str, str] = {}
    folder = Path(out) if out else make_home(home) / "reports"
    for name in names:
        try:
            report, unrecorded[name] = _read(name, home)
            if report is not None:
                check_record(folder / name, report.has_record)
                found[name] = report
        except UserError as error:
            failed[name] = str(error)
        except Exception as error:  # whatever is wrong with one study's records, the others have their reports
            failed[name] = scrub(f"what is logged of it can't be read ({type(error).__name__}: {error})")
    reports = {name: one for name, one in found.items() if isinstance(one, Report)}
    searches = {name: one for name, one in found.items() if name not in reports}
    listed = [
        Searched(name, one.title, len(one.runs), int((one.runs["status"] == "FINISHED").sum()), f"{name}/index.html")
        for name, one in searches.items()
    ]
    abouts = all_about(methods, used_by(reports))
    site = ["claims.html", FAMILIES, *(method_page(about.name) for about in abouts)]
    beside = [one.pages(folder / name, _around(one, site)) for name, one in searches.items()]
    page = write_site(folder, reports, studies, methods, listed, failed, beside)
    published = Published(page, [*reports, *searches], failed)
    for name, report in {**reports, **searches}.items():
        problem = "; ".join(filter(None, (unrecorded[name], _log(store, name, report))))
        if problem:
            published.not_logged[name] = problem
    return published


def _read(name: str, home: str | Path | None) -> tuple[Reported | None, str]:
    """Read all bases of a study or a search, the newest one's report with the others in it; None is no run.

    To read a study's claims is to look at them, which is recorded; why it could not be is returned, too.
    """
    found: list[Reported] = []
    unread: list[tuple[str, str]] = []
    problems: dict[str, None] = {}
    for logged in frames.read_all(Store(find_home(home)), name):
        try:
            report, problem = _report_of(logged, name, home)
        except UserError as error:
            if not found:  # the newest, whose page this is
                raise
            unread.append((logged.base.summary, str(error)))
        else:
            found.append(report.among(logged.base))
            problems |= {problem: None} if problem else {}
    if not found:
        return None, ""
    newest, *others = found
    assert newest.base is not None
    return newest.among(newest.base, others, unread), "; ".join(problems)


def _report_of(logged: frames.Logged, name: str, home: str | Path | None) -> tuple[Reported, str]:
    """Read a study, a search or single runs, told by the record; a search without one by its runs' stages."""
    if logged.record.get("kind") == KIND:
        return read_single(logged), ""
    if logged.record.get("kind") == "search" or (not logged.record and "search.stage" in logged.runs):
        from unlabeled.dashboards.search_reading import read_search  # which takes Optuna: a second that studies spare

        return read_search(logged, Store(find_home(home)), find_home(home), name), ""
    looks, problem = looked(Store(find_home(home)), name, logged.record, logged.runs)
    return read_report(logged.record, logged.runs, logged.epochs, logged.pictures, name, looks), problem


def _place(study: str, report: Reported, base: str, or_newest: bool) -> str:
    """Return where a base's page is, from the folder of the newest one's."""
    listed = {one.base.digest: one.base for one in (report, *report.others) if one.base}
    found = matching(listed, base)
    if not found and or_newest:
        return ""
    if len(found) != 1:
        raise not_one(study, listed.values(), base, len(found))
    meant = listed[found[0]]
    return "" if meant is report.base else meant.place


def _names(store: Store) -> list[str]:
    """List the experiments that are studies: a server may hold others', whose names need not be names of folders."""
    found = []
    for name, _ in store.pages(""):
        if slug(name) == name:
            first = next(iter(store.runs(name)), None)
            if first is not None and "unlabeled.study" in first.data.tags:
                found.append(name)
    return found


def _around(report: Reported, site: Sequence[str]) -> Around:
    """Return the links of a report to the site that it stands in, whose files are given; none where it is no site."""
    if "claims.html" not in site:
        return Around()
    pages = ((name, method_page(name)) for name in report.methods)
    return Around(site_links("../"), tuple((name, f"../{page}") for name, page in pages if page in site))


def _log(store: Store, study: str, report: Reported) -> str:
    """Log a report; return what went wrong, if anything, because the report itself is there."""
    description = f"**{report.title}**\n\n{report.answer}\n\nThe page is `report/index.html` among the artifacts."
    try:
        with tempfile.TemporaryDirectory() as folder:  # written afresh: the site's links lead nowhere from MLflow
            for name, text in report.pages(Path(folder)).files.items():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                (Path(folder) / name).write_text(text, encoding="utf-8")
            log_report(store, study, Path(folder), description, report.tags)
        rows, bases = list(report.record.get("rows", ())), report.runs.get("base", ("",))
        set_view(store, study, *report.columns, rows=rows, base=str(list(bases)[-1]))
    except Exception as error:  # a store that is read-only or away keeps nobody from reading the page
        return scrub(
            f"the report is written, but not logged to MLflow: {str(error).splitlines()[0] if str(error) else error!r}"
        )
    return ""
