"""Contract suites for those who write a method or a source, here or in a package of their own. They need pytest.

A suite is a class of tests; a test file derives one, and says what to try::

    from unlabeled.platform.testing import MethodSuite

    class TestMine(MethodSuite):
        methods = (MyConfig,)
"""

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{file}" for file in ("methods", "training", "sources", "examples")))

from unlabeled.platform.testing.methods import MethodSuite  # noqa: E402  after pytest knows what to rewrite
from unlabeled.platform.testing.sources import SourceSuite  # noqa: E402

__all__ = ["MethodSuite", "SourceSuite"]
