"""A study of one's own is a script: it finds what lies beside it, wherever its runs go, and its faults are a line."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unlabeled.platform.cli.studyfile import files_beside, load_study
from unlabeled.platform.drive import parcel
from unlabeled.platform.errors import UserError

ROOT = Path(__file__).resolve().parent.parent.parent
DECLARED = """
from unlabeled.platform.study import Study
from unlabeled.studies.bases import SIMCLR_RUN
WORDS = dict(question="Which?", source="nobody", expected="nothing", cost="seconds")
STUDY = Study(name="of-mine", profiles={"laptop": SIMCLR_RUN["laptop"]}, **WORDS, rows=ROWS)
"""
ROWS = 'ROWS = {"narrow": {"encoder.width": 8}, "wide": {"encoder.width": 16}}\n'
BY_ITS_METHOD = """
STUDY = STUDY.model_copy(update={"profiles": {"laptop": SIMCLR_RUN["laptop"].with_field("method", Mine())}})
"""


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(parcel, "_folders", [])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if "." not in name:
            del sys.modules[name]


def test_what_lies_beside_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine"
    (folder / "rows_in_package").mkdir(parents=True)
    (folder / "rows_in_package" / "__init__.py").write_text("from rows_in_package.inner import ROWS\n")
    (folder / "rows_in_package" / "inner.py").write_text(ROWS)
    (folder / "not_asked_for.py").write_text("")
    (folder / "numbers.csv").write_text("1\n")
    reading = "from pathlib import Path\nNUMBERS = Path(__file__).with_name('numbers.csv').read_text()\n"
    study = folder / "my_study.py"
    study.write_text(f"from rows_in_package import ROWS\n{reading}{DECLARED}")
    monkeypatch.chdir(tmp_path)
    assert list(load_study(Path("mine/my_study.py")).row_settings()) == ["narrow", "wide"]
    for name in ("my_study", "rows_in_package", "rows_in_package.inner"):
        del sys.modules[name]
    needed = ["my_study.py", "numbers.csv", "rows_in_package/__init__.py", "rows_in_package/inner.py"]
    assert [str(path) for path in files_beside(study)] == needed


def test_its_classes_are_found_where_its_runs_go(tmp_path: Path) -> None:
    (tmp_path / "method_beside.py").write_text(
        "from unlabeled.methods.contrastive.simclr import SimCLRConfig\nclass Mine(SimCLRConfig):\n    name = 'mine'\n"
    )
    study = tmp_path / "study_with_method.py"
    study.write_text(f"from method_beside import Mine\n{ROWS}{DECLARED}{BY_ITS_METHOD}")
    run = load_study(study).base("laptop")
    code = (
        "import sys; from unlabeled.platform.drive.parcel import unpacked; run = unpacked(sys.argv[1]); "
        "print(type(run.method).__module__, run.fingerprint('data'))"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}", parcel.packed(run)],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert elsewhere.stdout.split() == ["method_beside", run.fingerprint("data")]


FAULTS = {
    "an import": ("import json\nimport numpyy\n", r":2: ModuleNotFoundError: No module named 'numpyy'"),
    "a name": ("x = 1\ny = x + z\n", r":2: NameError: name 'z' is not defined"),
    "the syntax": ("x = 1\nif x\n", r":2: SyntaxError: expected ':'"),
    "in a function": ("def f():\n    return 1 / 0\nf()\n", r":2: ZeroDivisionError: division by zero"),
    "in the library": ("import json\njson.loads('')\n", r":2: JSONDecodeError: Expecting value"),
    "it leaves": ("import sys\nsys.exit(3)\n", r":2: SystemExit: 3"),
    "of several lines": ("raise ValueError('one\\ntwo')\n", r":1: ValueError: one two"),
    "what it declares": (f"ROWS = {{}}\n{DECLARED}", r":6 is not one that can run: a study declares either rows or"),
    "a field": (
        "from unlabeled.studies.bases import SIMCLR_RUN\nSIMCLR_RUN['laptop'].with_field('batchsize', 1)\n",
        r":2: no field of RunConfig is called 'batchsize'; did you mean 'batch_size'\?",
    ),
    "nothing": ("", r" declares no STUDY; studies/projection_head\.py is an example"),
}


@pytest.mark.parametrize(("text", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_in_it_is_one_line_that_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    study = tmp_path / "study_with_a_fault.py"
    study.write_text(text)
    with pytest.raises(UserError, match=f"study_with_a_fault.py{message}") as refused:
        load_study(study)
    assert "\n" not in str(refused.value)


def test_a_fault_beside_it_names_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows_with_a_fault.py").write_text("\nROWS = [\n")
    (tmp_path / "study_beside_it.py").write_text("import rows_with_a_fault\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^rows_with_a_fault\.py:2: SyntaxError: '\[' was never closed$"):
        load_study(Path("study_beside_it.py"))


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text(DECLARED)
    with pytest.raises(UserError, match=r"json\.py is called like the module 'json', which is in use; give it another"):
        load_study(tmp_path / "json.py")
    assert sys.modules["json"].__name__ == "json"
