"""What MLflow's UI shows of a study and its runs, as far as tags say it: descriptions, and the view that it opens with.

All of it goes with calls that are made anyway. The UI reads descriptions as Markdown on a page and as plain text in a
list, so what stands in lists has no marks.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unlabeled.platform.metrics import unit_of
from unlabeled.platform.train.loggable import MAX_EXPERIMENT_TAG, plain_text

if TYPE_CHECKING:  # torch, which it imports, takes two seconds that reading runs does not need
    from unlabeled.platform.data import Data

NOTE = "mlflow.note.content"  # the tag that is a description
ROW, BASE = "unlabeled.row", "unlabeled.base"
REPORT_ROW = "report"  # under which the report's own run stands among the rows
VIEW = "mlflow.sharedViewState.study"  # the tag of an experiment that the UI reads for viewStateShareKey=study
VIEW_OF_ML = "workflowType=machine_learning"  # without it the UI opens what is for GenAI
HIDDEN = {"mlflow.experiment.isGateway": "true"}  # the UI's list leaves experiments out that have this tag
_MAX_OPEN = 12  # groups that are open when the page opens


def of_study(record: Mapping[str, Any], experiment: str) -> str:
    """Describe a study for its experiment: question, what is expected, source, claims, and the way to its rows."""
    claims = "\n".join(f"- {claim['statement']} ({claim['source']})" for claim in record["claims"])
    view = f"[Its runs by row]({page(experiment, has_view=True)})"
    parts = (record["question"], record["expected"], f"Source: {record['source']}", claims, view)
    return "\n\n".join(filter(None, parts))


def of_data(data: "Data") -> dict[str, str]:
    """Describe the data that a run learns from, as an input of it."""
    sizes = {split: len(getattr(data, split)) for split in ("pretrain", "train", "validation", "test")}
    return {
        "name": data.name,
        "digest": data.checksum[:16],
        "source_type": "unlabeled",
        "source": json.dumps({"source": data.source, "licence": data.licence}),
        "profile": json.dumps({**sizes, "classes": len(data.classes)}),
    }


def of_run(
    record: Mapping[str, Any], experiment: str, row: str, seed: int, metrics: Mapping[str, float] | None = None
) -> str:
    """Describe a run: its row and seed, what it measured once it is finished, and where the study's answer is."""
    measure = str(record["measure"])
    found, start = ((metrics or {}).get(name) for name in (measure, f"untrained/{measure.removeprefix('test/')}"))
    answer = "" if found is None else f"\n\n{measure}: **{unit_of(measure).value(found)}**"
    answer += f", of the same encoder untrained {unit_of(measure).value(start)}" if answer and start is not None else ""
    runs = page(experiment, has_view=True)
    return (
        f"Row **{row}**, seed {seed}.{answer}\n\n{record['question']} One run doesn't answer it: see "
        f"[all of them by row]({runs}), and the run named report, whose artifact `report/index.html` is the answer."
    )


def page(experiment: str, *, has_view: bool) -> str:
    """Return where an experiment's runs are in the UI, from its own address."""
    view = "&viewStateShareKey=study" if has_view else ""
    return f"#/experiments/{experiment}/runs?{VIEW_OF_ML}{view}"


def opening(
    measures: Sequence[str],
    parameters: Sequence[str],
    tags: Sequence[str],
    rows: Sequence[str],
    *,
    has_bases: bool = False,
) -> str:
    """Return the value of the tag ``VIEW``: columns, sorted by the first measure, seeds grouped by row.

    It is a shared view, as the UI's own Share makes them. Charts then have a line for each row, the mean of its seeds;
    where there are runs of several bases, for each row of each, as a mean over bases is of nothing.
    """
    columns = ["params.`seed`", *(f"metrics.`{name}`" for name in measures)]
    columns += [f"params.`{name}`" for name in parameters] + [f"tags.`{name}`" for name in tags]
    state: dict[str, object] = {"selectedColumns": list(dict.fromkeys(columns))}
    if measures:
        state |= {"orderByKey": f"metrics.`{measures[0]}`", "orderByAsc": False}
    if len(rows) > 1:
        keys = [ROW, *([BASE] if has_bases else [])]
        grouped = [{"mode": "tag", "groupByData": tag} for tag in keys]
        state["groupBy"] = {"aggregateFunction": "average", "groupByKeys": grouped}
        state["useGroupedValuesInCharts"] = True
        state["groupsExpanded"] = {f"tag.{ROW}.{row}": True for row in (*rows[:_MAX_OPEN], REPORT_ROW)}
    text = json.dumps(state)
    return (
        text if len(text) == len(plain_text(text, MAX_EXPERIMENT_TAG)) else json.dumps({**state, "groupsExpanded": {}})
    )
