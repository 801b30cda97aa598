"""The examples of dashboards/README.md run, on a store with runs, and give what they say."""

import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
from mlflow.entities import Param, RunTag

from unlabeled.dashboards.export import latex, markdown
from unlabeled.dashboards.measured import table
from unlabeled.dashboards.wording import ABSENT
from unlabeled.platform.track import Store
from unlabeled.platform.track.table import LISTS
from unlabeled.platform.train.export import save_encoder
from unlabeled.studies import STUDIES

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "dashboards" / "README.md").read_text()
EXAMPLES = dict(
    zip(re.findall(r"^### (.*)", README, re.M), re.findall(r"```python\n(.*?)```", README, re.S), strict=True)
)
MEASURE = "test/linear/top1"
DEMO = STUDIES["projection-head"]  # what `make demo` runs, and the examples read
MEANS = dict(zip(DEMO.row_settings("laptop"), (0.796, 0.821, 0.824), strict=True))
NOTEBOOK = json.loads((ROOT / "dashboards" / "paper.ipynb").read_text())


@pytest.fixture
def home_of_examples(logged, runs, epochs, monkeypatch, tmp_path, small_data):
    """A home as the demo leaves it: its rows, seeds and fields, its metrics over epochs, an encoder of each run."""
    planned = {(one.row, one.seed): one.config for one in DEMO.runs(DEMO.base("laptop"))}
    frame = runs(MEANS).drop(columns=[name for name in runs() if "." in name or name in ("epochs", "batch_size")])
    frame = frame.assign(**{"health/rankme": [20.0 + place for place in range(9)]})
    home = logged(DEMO.record("laptop"), frame, epochs(frame))
    store = Store(home)
    for run in store.runs("projection-head"):
        row, seed = run.data.tags["unlabeled.row"], int(run.data.tags["unlabeled.seed"])
        config = planned[row, seed]
        params = [Param(path, str(value)) for path, value in config.parameters().items()]
        store.client.log_batch(run.info.run_id, params=params, tags=[RunTag(LISTS, json.dumps(config.lists()))])
        encoder = config.method.make_encoder(config.encoder, small_data.format)
        save_encoder(encoder, config, small_data.format, tmp_path / "encoder")
        store.client.log_artifacts(run.info.run_id, str(tmp_path / "encoder"), "encoder")
    monkeypatch.setenv("UNLABELED_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    return home


def test_the_examples_for_pandas_users_run(home_of_examples, capsys):
    mpl.use("svg")
    given = {}
    for title, code in EXAMPLES.items():
        if "Ray job" not in title:
            exec(compile(code, title, "exec"), given)
    assert len(given["runs"]) == 9
    assert set(given["runs"]["method.head"]) == {(), (128,), (256, 128)}
    assert list(given["by_seed"].columns) == sorted(MEANS)
    assert list(given["losses"].index) == list(range(1, 9))
    assert given["features"].shape == (4, 192)
    said = capsys.readouterr().out
    assert re.search(r"^\+0\.02\d \(\+0\.0\d+ to \+0\.0\d+\), p 0\.\d+", said)
    assert re.search(r"\| non-linear \| \*\*82\.\d\*\* ± \d\.\d \| 3 \| 76\.\d \| best \|", said)
    assert r"\begin{tabular}{lrrrr" in said
    assert rf"\caption{{{DEMO.question} Mean over 3 seeds $\pm$" in said
    for name in ("rank.svg", "head.pdf", "rank-by-epoch.pdf"):
        assert (home_of_examples / name).stat().st_size > 5000


def test_the_notebook_goes_from_a_home_to_a_papers_table_and_figure(home_of_examples, capsys, monkeypatch):
    mpl.use("svg")
    folder = home_of_examples / "dashboards"  # as it lies in a checkout, where the demo's home is beside its folder
    folder.mkdir()
    (home_of_examples / "runs").symlink_to(home_of_examples)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("UNLABELED_HOME")
    code = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code), "outputs stay out of the repository"
    given = {}
    for cell in code:
        exec(compile("".join(cell["source"]), cell["id"], "exec"), given)
    assert list(given["rows"].index) == list(MEANS)
    assert "non-linear over linear: +0.00" in capsys.readouterr().out
    table = (folder / "projection-head.tex").read_text()
    assert table.startswith("\\begin{table}")
    assert r"\textbf{82." in table
    assert (folder / "projection-head.pdf").read_bytes().startswith(b"%PDF")
    assert given["figure"].axes[0].get_xlabel().startswith("Linear probe")
    assert given["features"].shape == (4, 192)


def test_the_script_of_ones_own_runs_as_a_process(home_of_examples, tmp_path):
    (title,) = (title for title in EXAMPLES if "Ray job" in title)
    script = tmp_path / "judge.py"
    script.write_text(EXAMPLES[title])
    done = subprocess.run(
        [sys.executable, str(script), "projection-head"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    statements = [claim.statement for claim in DEMO.claims if (claim.higher, claim.lower) == ("non-linear", "none")]
    assert f"projection-head: held: {statements[0]}" in done.stdout
    assert (home_of_examples / "reports" / "projection-head" / "index.html").is_file()


def test_markdown_keeps_its_columns_whatever_a_row_is_called(record, runs):
    rows = table(record(rows={"a|b": {}}, published=[]), runs({"a|b": 0.8}))
    head, rule, line = markdown(rows, MEASURE).splitlines()
    assert head == f"| Row | {MEASURE} (%) | Seeds | Untrained (%) |"
    assert rule == "| :-- | --: | --: | --: |"
    assert re.match(r"\| a\\\|b \| (79|80)\.\d ± \d\.\d \| 3 \|", line)


def test_latex_escapes_what_it_would_take_for_its_own(record, runs):
    name = r"50% & a_b {c} \d $e ~f ^g #h"
    text = latex(table(record(rows={name: {}}, published=[]), runs({name: 0.8}, seeds=(0,))), MEASURE)
    assert r"50\% \& a\_b \{c\} \textbackslash{}d \$e \textasciitilde{}f \textasciicircum{}g \#h" in text
    assert ABSENT not in text
    assert text.count(r" \\") == 2


def test_a_row_that_was_not_measured_says_so(record, runs):
    text = markdown(table(record(), runs({"mlp": 0.8})), MEASURE)
    assert text.count("not measured") == 2


def test_what_is_best_is_bold_with_all_that_is_printed_alike(record, runs):
    text = markdown(table(record(published=[]), runs({"mlp": 0.8, "linear": 0.8001, "none": 0.7}, spread=0.0)), MEASURE)
    assert [line.count("**") for line in text.splitlines()[2:]] == [0, 2, 2]
    one = markdown(table(record(published=[]), runs({"mlp": 0.8})), MEASURE)
    assert "**" not in one, "one row is best of nothing"


def test_numbers_that_are_no_fractions_have_the_digits_of_their_interval(record, runs):
    frame = runs({"mlp": 0.8, "none": 0.7}).assign(
        **{"health/uniformity": [-1.91234, -3.1, -1.95678, -3.2, -1.9, -3.3]}
    )
    text = markdown(table(record(published=[]), frame, "health/uniformity"), "health/uniformity")
    assert "| mlp | −1.92 ± 0.07 | 3 |" in text
    assert "| none | **−3.20** ± 0.25 | 3 |" in text, "lower is better"


def test_a_seed_alone_has_no_half_width(record, runs):
    text = latex(table(record(), runs(seeds=(0,))), MEASURE, record())
    assert r"$\pm$" not in text
    assert (
        "Mean over 1 seed of test/linear/top1. Published: ImageNet linear top-1, \\%; Chen et al. (2020), fig. 8, "
        in text
    )
    assert r"Published (\%)" in text
