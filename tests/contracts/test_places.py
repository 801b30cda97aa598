"""A method is one file and one line: nothing else of the repository has to name it."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from unlabeled.methods import OURS
from unlabeled.platform.method import MethodConfig

ROOT = Path(__file__).resolve().parents[2]
# Studies declare the rows that they are of; tests of one method, records and tools that time some may name them.
MAY_NAME = ("studies", "tests", "benchmarks", "dashboards/gallery")


def source_files() -> Iterator[Path]:
    for folder in ("platform", "methods", "dashboards", "studies", "tests", "benchmarks", "unlabeled"):
        yield from (ROOT / folder).rglob("*.py")


def file_of(config: type[MethodConfig]) -> Path:
    return Path(inspect.getfile(config)).resolve()


def places(config: type[MethodConfig]) -> dict[str, list[str]]:
    """Return the lines that import a method's module or name its config, by file, where they have no reason to."""
    own = file_of(config)
    module = re.escape(config.__module__)
    pattern = re.compile(rf"\b{module}\b|\b{config.__name__}\b")
    found: dict[str, list[str]] = {}
    for path in source_files():
        where = path.relative_to(ROOT).as_posix()
        if path.resolve() == own or where.startswith(MAY_NAME):
            continue
        if lines := [line.strip() for line in path.read_text().splitlines() if pattern.search(line)]:
            found[where] = lines
    return found


@pytest.mark.parametrize("name", OURS)
def test_a_method_is_its_file_and_one_line(name: str) -> None:
    config = OURS[name]
    found = places(config)
    assert list(found) == ["methods/__init__.py"], "whatever else lists methods asks METHODS"
    (line,) = found["methods/__init__.py"]
    assert config.__name__ in line


@pytest.mark.parametrize("name", OURS)
def test_its_file_says_what_it_is_and_how_to_try_it(name: str) -> None:
    text = file_of(OURS[name]).read_text()
    assert re.search(rf"^class {OURS[name].__name__}\(MethodConfig\)", text, flags=re.M)
    assert "def example(cls)" in text
    assert OURS[name].cost is not None


def test_suites_take_every_method_from_the_list() -> None:
    """No table of the shared tests has a row for each method."""
    for path in [*(ROOT / "tests" / "contracts").glob("*.py"), ROOT / "tests" / "conftest.py"]:
        named = {name for name in OURS if re.search(rf'^\s*"{name}": ', path.read_text(), flags=re.M)}
        assert not named, path


def test_the_readme_names_every_method() -> None:
    (paragraph,) = re.findall(
        r"- \*\*Methods under one contract\*\*(.*?)\n- \*\*", (ROOT / "README.md").read_text(), re.S
    )
    for name in OURS:
        missing = [word for word in name.split("-") if not re.search(rf"\b{word}", paragraph, flags=re.IGNORECASE)]
        assert not missing, f"README leaves out {name}"
