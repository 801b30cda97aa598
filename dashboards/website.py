"""The reports of all studies as one site: what there is, what each study found, what each method did, every claim.

Plain files: no server, no JavaScript, nothing fetched. Equal runs give equal bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unlabeled.dashboards.answered import scales, strips
from unlabeled.dashboards.folder import Pages
from unlabeled.dashboards.levels import extremes, strip
from unlabeled.dashboards.method_pages import About, all_about, by_family, method_page, method_pages, used_by
from unlabeled.dashboards.pages import Around, render, site_links
from unlabeled.dashboards.report import Report, verdict_frame
from unlabeled.dashboards.verdicts import Verdict

GROUPS = {
    "contradicted": "Measured clearly otherwise than claimed.",
    "smaller than claimed": "The sign is as claimed; the size is clearly below what was asked for.",
    "no difference": "A difference was claimed, and what there is of one is negligible.",
    "held": "Measured as claimed; where no size is asked for, the direction is all that held.",
    "not decided": "The seeds so far leave it open.",
}


@dataclass(frozen=True)
class Declared:
    """A study as it is declared now, whether or not it has run.

    Attributes:
        name: as in ``unlabeled study run NAME``.
        question: what it asks.
        cost: runs times minutes, on what.
    """

    name: str
    question: str
    cost: str


@dataclass(frozen=True)
class Searched:
    """A search in the store.

    Attributes:
        name: its experiment.
        question: what it asks.
        num_runs: how many runs it has.
        num_finished: how many of them finished.
        page: its report, from the site's folder; empty where it has none.
    """

    name: str
    question: str
    num_runs: int
    num_finished: int
    page: str = ""


@dataclass(frozen=True)
class Judged:
    """A claim of a study with its verdict, and the place of the claim in the study."""

    study: str
    place: int
    verdict: Verdict


def write_site(
    out: Path,
    reports: Mapping[str, Report],
    studies: Sequence[Declared] = (),
    methods: Sequence[About] = (),
    searches: Sequence[Searched] = (),
    failed: Mapping[str, str] | None = None,
    beside: Sequence[Pages] = (),
) -> Path:
    """Write the site into a folder and return its first page.

    ``index.html``, ``claims.html``, ``claims.csv`` and ``methods.html``, a folder for each report, and a page for each
    method. Pages of methods that are neither used nor handed in any more are taken away. Where a file of others is in
    the way of any of them, none is written.

    Args:
        out: the folder; made if needed.
        reports: study -> its report, in reading order.
        studies: all that are declared; those without a report are listed as not yet run.
        methods: what the methods say of themselves.
        searches: listed beside the studies.
        failed: study -> why it could not be reported.
        beside: further pages of the site, in folders of their own: those of the searches.

    Raises:
        UserError: files of others are in the way, see :class:`unlabeled.dashboards.folder.Pages`.
    """
    failed = failed or {}
    waiting = [study for study in studies if study.name not in {*reports, *failed}]
    used = used_by(reports)
    abouts = all_about(methods, used)
    judged = [
        Judged(study, place, verdict)
        for study, report in reports.items()
        for place, verdict in enumerate(report.judged, start=1)
    ]
    groups = {decision: [one for one in judged if one.verdict.decision == decision] for decision in GROUPS}
    shared = {"reports": reports, "waiting": waiting, "groups": groups, "judged": judged}
    files = {
        **method_pages(abouts, used, reports),
        "claims.csv": _claims_frame(reports).to_csv(index=False),
        "claims.html": render("claims-page.html.j2", about=GROUPS, **shared),
        "index.html": _first_page(abouts, failed=failed, searches=searches, **shared),
    }
    arounds = _arounds(reports, abouts)
    parts = [*(reports[study].pages(out / study, around) for study, around in arounds.items()), *beside]
    site = Pages(out, files)
    for pages in (*parts, site):
        pages.check()
    for pages in (*parts, site):  # the first page last: what it leads to is there
        pages.write()
    return out / "index.html"


def _first_page(abouts: Sequence[About], **shared: Any) -> str:
    reports, verdicts = shared["reports"], [one.verdict for one in shared["judged"]]
    cards = {
        study: (strip(report.parts[0]), extremes(report.parts[0])) if report.parts else ("", [])
        for study, report in reports.items()
    }
    drawn = {"strips": strips(verdicts), "scales": scales(verdicts)}
    return render("index.html.j2", cards=cards, families=by_family(abouts), **drawn, **shared)


def _arounds(reports: Mapping[str, Report], methods: Sequence[About]) -> dict[str, Around]:
    """Return each study's links: the site, its methods, the studies before and after it."""
    names, by_name = list(reports), {about.name: about for about in methods}
    found = {}
    for place, name in enumerate(names):
        beside = [names[place + step] if 0 <= place + step < len(names) else None for step in (-1, 1)]
        before, after = ((reports[n].title, f"../{n}/index.html") if n else None for n in beside)
        links = tuple((method, f"../{method_page(method)}") for method in reports[name].methods if method in by_name)
        found[name] = Around(site_links("../"), links, before, after)
    return found


def _claims_frame(reports: Mapping[str, Report]) -> pd.DataFrame:
    frames = [verdict_frame(report.judged).assign(study=study) for study, report in reports.items()]
    filled = [frame for frame in frames if len(frame)] or [verdict_frame([]).assign(study="")]
    together = pd.concat(filled, ignore_index=True)
    return together[["study", *(name for name in together.columns if name != "study")]]
