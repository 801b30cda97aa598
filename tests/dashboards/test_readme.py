"""The examples of dashboards/README.md run, on a store with runs, and give what they say."""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest

from unlabeled.dashboards.export import latex, markdown
from unlabeled.dashboards.measured import table
from unlabeled.dashboards.wording import ABSENT
from unlabeled.studies import STUDIES

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "dashboards" / "README.md").read_text()
EXAMPLES = dict(
    zip(re.findall(r"^### (.*)", README, re.M), re.findall(r"```python\n(.*?)```", README, re.S), strict=True)
)
MEASURE = "test/linear/top1"
DEMO = STUDIES["projection-head"]  # what `make demo` runs, and the examples read
MEANS = dict(zip(DEMO.row_settings("laptop"), (0.796, 0.821, 0.824), strict=True))


@pytest.fixture
def home_of_examples(logged, runs, epochs, monkeypatch, tmp_path):
    frame = runs(MEANS).assign(**{"health/rankme": [20.0 + place for place in range(9)]})
    home = logged(DEMO.record("laptop"), frame, epochs(frame))
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
    assert list(given["by_seed"].columns) == sorted(MEANS)
    assert list(given["losses"].index) == list(range(1, 9))
    said = capsys.readouterr().out
    assert re.search(r"^\+0\.02\d \(\+0\.0\d+ to \+0\.0\d+\), p 0\.\d+", said)
    assert "| non-linear | 82" in said
    assert r"\begin{tabular}{lrrrr" in said
    assert (home_of_examples / "rank.svg").stat().st_size > 5000


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
    assert head == f"| Row | {MEASURE} | 95 % interval | Seeds | Untrained |"
    assert rule == "| :-- | --: | --: | --: | --: |"
    assert re.match(r"\| a\\\|b \| (79|80)\.\d %", line)


def test_latex_escapes_what_it_would_take_for_its_own(record, runs):
    name = r"50% & a_b {c} \d $e ~f ^g #h"
    text = latex(table(record(rows={name: {}}, published=[]), runs({name: 0.8}, seeds=(0,))), MEASURE)
    assert r"50\% \& a\_b \{c\} \textbackslash{}d \$e \textasciitilde{}f \textasciicircum{}g \#h" in text
    assert ABSENT not in text
    assert text.count(r" \\") == 2


def test_a_row_that_was_not_measured_says_so(record, runs):
    text = markdown(table(record(), runs({"mlp": 0.8})), MEASURE)
    assert text.count("not measured") == 2
