"""How ``make test`` spreads the tests over its processes: the longest first, so that none is left alone at the end.

The tests of a file stay together, because they share fixtures; the largest file goes in parts. Those that start a Ray
cluster each share none: they go one by one; and those that share one stay together. Without xdist nothing changes.
"""

import pytest

# What takes minutes as a whole; the rest follows as it was collected.
LONG = ("tests/contracts/", "tests/ray/", "tests/platform/track/", "tests/test_ui", "tests/test_cli", "tests/test_doc")
ONE_BY_ONE = "tests/ray/"
IN_PARTS = {"tests/contracts/test_methods.py": ("workers", "learns")}  # by what their tests share
BUT_TOGETHER = {  # they share what takes long to start
    "tests/ray/test_submit.py": "a job server",
    **dict.fromkeys((f"tests/ray/test_{what}.py" for what in ("own_method", "search", "sweep")), "a cluster"),
}
ALONE = ("whatever_ends_it",)  # starts clusters of its own


def scope(nodeid: str) -> str:
    """Return what a test can't be separated from: its file, or itself."""
    file = nodeid.split("::", 1)[0]
    if part := next((word for word in IN_PARTS.get(file, ()) if word in nodeid), ""):
        return f"{file}::{part}"
    if not file.startswith(ONE_BY_ONE):
        return file
    return nodeid if any(word in nodeid for word in ALONE) else BUT_TOGETHER.get(file, nodeid)


def rank(nodeid: str) -> int:
    """Return when a test's turn comes."""
    return next((place for place, prefix in enumerate(LONG) if nodeid.startswith(prefix)), len(LONG))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid)

    config.option.loadscopereorder = False  # by their number of tests, it would leave the longest for the end
    return Scheduling(config, log)
