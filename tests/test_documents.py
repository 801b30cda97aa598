"""What people read is true: the examples in docstrings run, and the README's commands exist."""

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
        out = subprocess.run(
            [sys.executable, "-m", "unlabeled", *command.split(), "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert out.returncode == 0, f"{document}: unlabeled {command}: {out.stderr}"


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "LOG.md"])
def test_links_in_documents_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text()):
        assert target.startswith("http") or (ROOT / target).exists(), target
