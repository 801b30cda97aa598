"""The layout's own rules: who may import whom, no cycles, and that platform/ never shadows the standard library."""

import ast
import os
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("platform", "methods", "studies", "dashboards")
MAY_IMPORT = {
    "platform": {"platform"},
    "methods": {"platform", "methods"},
    "studies": {"platform", "methods", "studies"},
    "dashboards": {"platform", "dashboards"},  # logged runs, not study code: an old result stays readable
}
MAX_ROOMS = 22
MAX_LINES = 300
COMPOSITION_ROOT = ROOT / "platform" / "cli"  # the one place that may look right, inside its functions


def imported_modules(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    names: set[str] = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: import by full name"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("unlabeled.")}


def layers_of(modules: set[str]) -> set[str]:
    return {name.split(".")[1] for name in modules} & set(LAYERS)


def module_name(path: Path) -> str:
    return "unlabeled." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_one_way(layer: str) -> None:
    for path in sorted((ROOT / layer).rglob("*.py")):
        if COMPOSITION_ROOT not in path.parents:
            extra = layers_of(imported_modules(path)) - MAY_IMPORT[layer]
            assert not extra, (
                f"{path.relative_to(ROOT)} imports {sorted(extra)}; {layer}/ may import {MAY_IMPORT[layer]}"
            )


def test_the_command_line_looks_right_only_inside_its_functions() -> None:
    for path in COMPOSITION_ROOT.glob("*.py"):
        assert layers_of(imported_modules(path, top_level_only=True)) <= {"platform"}


def test_no_import_cycles() -> None:
    files = {module_name(path): path for layer in LAYERS for path in (ROOT / layer).rglob("*.py")}
    graph = {name: (imported_modules(path) & set(files)) - {name} for name, path in files.items()}
    for name, path in files.items():
        if path.name == "__init__.py":  # a package's own files may be reached through it by others, not by themselves
            for inner in files:
                if inner.startswith(name + "."):
                    graph[inner] = graph[inner] - {name}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def test_no_cycles_between_the_rooms_of_the_engine() -> None:
    rooms: dict[str, set[str]] = {}
    for path in sorted((ROOT / "platform").rglob("*.py")):
        room = path.relative_to(ROOT / "platform").parts[0].removesuffix(".py")
        reached = {name.split(".")[2] for name in imported_modules(path) if name.startswith("unlabeled.platform.")}
        rooms.setdefault(room, set()).update(reached - {room})
    TopologicalSorter(rooms).prepare()  # raises CycleError, which names the cycle
    assert len(rooms) <= MAX_ROOMS, "a room is a folder or a file in platform/; put the new one into a folder"


def test_platform_has_no_init_and_no_name_of_the_standard_library() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists(), "would shadow the standard library and hang Ray workers"
    shadowing = {path.stem for path in (ROOT / "platform").glob("*.py")} & sys.stdlib_module_names
    assert not shadowing


def test_the_standard_library_wins_at_the_root() -> None:
    code = "import platform; print(platform.python_implementation())"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "CPython"


@pytest.mark.parametrize("layer", LAYERS)
def test_the_import_root_links_to_the_folder(layer: str) -> None:
    link = ROOT / "unlabeled" / layer
    assert link.is_symlink()
    assert link.readlink() == Path("..") / layer


def copy_without_links(folder: Path, layers: tuple[str, ...]) -> None:
    """Make a checkout as a git or a disk without symbolic links has it: a link is a text file that says where to."""
    ignore = shutil.ignore_patterns("__pycache__", *LAYERS)
    shutil.copytree(ROOT / "unlabeled", folder / "unlabeled", ignore=ignore)
    for layer in LAYERS:
        (folder / "unlabeled" / layer).write_text(f"../{layer}")
    for layer in layers:
        shutil.copytree(ROOT / layer, folder / layer, ignore=shutil.ignore_patterns("__pycache__"))


def run_in(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    alone = "sys.meta_path[:] = [finder for finder in sys.meta_path if 'ditable' not in repr(finder)]"  # not this one
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); {alone}; {code}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_checkout_without_links_works_and_is_packed_whole(tmp_path: Path) -> None:
    copy_without_links(tmp_path / "clone", LAYERS)
    code = "import platform, unlabeled.studies as s; print(platform.python_implementation(), s.__file__); "
    code += "from pathlib import Path; from unlabeled.platform.drive.submit import pack; pack(Path('job'))"
    ran = run_in(tmp_path / "clone", code)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["CPython", str(tmp_path / "clone" / "studies" / "__init__.py")]
    job = tmp_path / "clone" / "job"
    assert [path.name for path in job.iterdir()] == ["unlabeled"]
    for layer in LAYERS:
        ours = {path.relative_to(ROOT) for path in (ROOT / layer).rglob("*.py")}
        assert {path.relative_to(job / "unlabeled") for path in (job / "unlabeled" / layer).rglob("*.py")} == ours


def test_a_package_without_its_folders_says_how_to_get_them(tmp_path: Path) -> None:
    copy_without_links(tmp_path, ())
    (tmp_path / "platform").mkdir()  # somebody else's
    refused = run_in(tmp_path, "import unlabeled")
    assert refused.returncode == 1
    said = refused.stderr.splitlines()[-1]
    assert said.startswith(f"ImportError: {tmp_path / 'unlabeled'} lacks platform/, methods/, studies/ and dashboards/")
    assert "`git config core.symlinks true` and `git checkout -- unlabeled` make them" in said


def test_what_wants_a_gpu_needs_no_cluster_and_no_store() -> None:
    """A machine with little but torch runs it from a checkout."""
    code = f"""
import sys
for name in ("ray", "mlflow", "optuna", "pandas", "matplotlib", "typer", "rich", "jinja2"):
    sys.modules[name] = None  # so that importing it fails
import benchmarks.gpu
import pytest
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", {str(ROOT / "tests" / "gpu")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_training.py" in done.stdout


def test_no_file_is_longer_than_people_read_at_once() -> None:
    lengths = {path: len(path.read_text().splitlines()) for layer in LAYERS for path in (ROOT / layer).rglob("*.py")}
    assert not {str(path.relative_to(ROOT)): length for path, length in lengths.items() if length > MAX_LINES}
