"""What people read is true: the examples in docstrings run, and the README's commands exist."""

import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.testing

from unlabeled.platform import cli

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    "unlabeled." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for layer in ("platform", "methods", "studies", "dashboards")
    for path in (ROOT / layer).rglob("*.py")
)


@pytest.mark.parametrize("name", ["unlabeled", *MODULES])
def test_docstring_examples(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_commands_in_documents_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    targets = set(re.findall(r"^make (\w+)", text, flags=re.MULTILINE))
    assert targets <= {"demo", "test", "check", "bench"}, targets
    for command in set(re.findall(r"^(?:\.venv/bin/)?unlabeled ([a-z]+(?: (?:list|show|run|download))?)", text, re.M)):
        out = typer.testing.CliRunner().invoke(cli.app, [*command.split(), "--help"])
        assert out.exit_code == 0, f"{document}: unlabeled {command}: {out.output}"


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "LOG.md"])
def test_links_in_documents_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text()):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_readme_says_how_many_lines_tell_the_story() -> None:
    text = (ROOT / "README.md").read_text().split("## Read the code")[1]
    files = re.findall(r"`([\w/]+\.py)`", text)
    (said,) = re.findall(r"some ([\d,]+)\nlines tell the whole story", text)
    lines = sum(len((ROOT / file).read_text().splitlines()) for file in files)
    assert len(files) > 5
    assert int(said.replace(",", "")) == round(lines, -2) <= 1500


_OWN_STUDY = """
from yours import UpsideDownConfig

from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.study import Study

small = RunConfig(
    method=UpsideDownConfig(),
    data=DataConfig(train_images=256),
    epochs=1,
    batch_size=64,
    evaluation=EvaluationConfig(tsne_images=0),
)
STUDY = Study(
    name="ways-up",
    question="Does it run?",
    source="here",
    expected="It does.",
    cost="seconds",
    profiles={"laptop": small},
    rows={"narrow": {"encoder.width": 4}, "wide": {"encoder.width": 8}},
    seeds=(0,),
    also=("way/top1",),
)
"""


def test_the_example_of_a_method_runs_from_a_package_of_its_own(tmp_path: Path) -> None:
    """It is listed, and a study of one's own trains it on Ray Tune, in other processes."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    code, tests = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    ((group, line),) = re.findall(r"```toml\n\[project\.entry-points\.\"(.*?)\"\]\n(.*?)\n```", text, flags=re.DOTALL)
    entry = line.replace('"', "")  # which the files that installers write don't have
    (tmp_path / "yours.py").write_text(code)
    about = tmp_path / "yours-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: yours\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n{entry}\nbroken = nowhere:Nothing\n")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        "UNLABELED_HOME": str(tmp_path / "home"),
    }

    def unlabeled(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "unlabeled", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)

    listed = unlabeled("methods")
    assert "upside-down" in listed.stdout
    assert "the method 'broken' of yours can't be used: ModuleNotFoundError" in listed.stderr
    (tmp_path / "own_study.py").write_text(_OWN_STUDY)
    out = unlabeled("study", "run", "own_study.py", "--max-concurrent", "1")
    assert "2 finished, 0 failed" in out.stdout
    page = (tmp_path / "home" / "reports" / "ways-up" / "index.html").read_text()
    assert "way/top1" in page
    (tmp_path / "test_yours.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_yours.py"]
    suite = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert suite.returncode == 0, suite.stdout + suite.stderr
    passed = int(re.findall(r"(\d+) passed", suite.stdout)[0])
    assert passed > 20
