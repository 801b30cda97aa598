"""What a skipped test comes to: a line at the end here, a failure in continuous integration."""

import re
from pathlib import Path

import needs
import order
import pytest

INSTALLABLE = needs.Need("a loom", is_here=False, remedy="apt-get install loom")
HOPELESS = needs.Need("a right-handed snail", is_here=False)
GIVEN = needs.Need("air", is_here=True, remedy="breathe")
TESTS = """
    import pytest

    @pytest.mark.needs("air")
    def test_that_has_all():
        pass

    @pytest.mark.needs("air", "loom")
    def test_that_lacks_a_program():
        raise AssertionError("it runs")

    @pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.needs("loom"))])
    def test_that_lacks_it_for_one_parameter(number):
        assert number == 1

    @pytest.mark.needs("snail")
    def test_that_lacks_a_machine():
        raise AssertionError("it runs")

    def test_that_is_known_to_fail():
        pytest.xfail("a fault of another's")
"""
BY_ITSELF = """
    import pytest

    def test_that_skips_by_itself():
        pytest.skip("no time")
"""
BY_FILE = """
    import pytest

    pytest.importorskip("no_such_package")

    def test_nothing():
        pass
"""


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with tests of all kinds, and a machine that lacks some of what they need."""
    monkeypatch.setattr(needs, "NEEDS", {"loom": INSTALLABLE, "snail": HOPELESS, "air": GIVEN})
    pytester.makepyfile(test_needing=TESTS, test_by_itself=BY_ITSELF, test_by_file=BY_FILE)
    return pytester


@pytest.mark.parametrize("ci", ["", "false"])
def test_at_home_a_line_for_each_reason_says_what_would_run_it(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str
) -> None:
    monkeypatch.setenv("CI", ci)
    ended = session.runpytest_inprocess("-p", "needs", "-p", "no:cacheprovider")
    ended.assert_outcomes(passed=2, skipped=5, xfailed=1)
    assert ended.ret == 0
    lines = [line for line in ended.outlines if re.match(r"\d+ skipped: ", line)]
    assert lines == [
        "1 skipped: could not import 'no_such_package': No module named 'no_such_package'",
        "2 skipped: needs a loom: apt-get install loom",
        "1 skipped: needs a right-handed snail, and is for nothing else",
        "1 skipped: no time",
    ]


def test_in_ci_whatever_could_run_has_to(session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    ended = session.runpytest_inprocess("-p", "needs", "-p", "no:cacheprovider", "--continue-on-collection-errors")
    ended.assert_outcomes(passed=2, failed=1, errors=3, skipped=1, xfailed=1)
    assert ended.ret != 0
    for reason in ("needs a loom: apt-get install loom", "no time", "could not import 'no_such_package'"):
        assert f"in CI nothing is skipped that could run: {reason}" in ended.stdout.str()


def test_only_what_shares_nothing_is_spread_one_by_one() -> None:
    """A fixture that several tests of a file share would otherwise be made once in each process."""
    root = Path(__file__).parent.parent
    for path in (root / order.ONE_BY_ONE).glob("test_*.py"):
        name = str(path.relative_to(root))
        text = path.read_text()
        shares = 'scope="module"' in text or bool(re.search(r"\bjoined\b", text))
        assert (order.scope(f"{name}::test_x") != f"{name}::test_x") == shares, name
    assert order.scope("tests/test_cli.py::test_x[1]") == "tests/test_cli.py"


def test_the_long_ones_are_there_and_go_first() -> None:
    root = Path(__file__).parent.parent
    assert all(list(root.glob(f"{prefix}*")) for prefix in order.LONG)
    places = [order.rank(f"{prefix}x") for prefix in (*order.LONG, "tests/methods/")]
    assert places == list(range(len(order.LONG) + 1))
