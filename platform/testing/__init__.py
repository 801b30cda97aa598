"""Contract suites for those who write a method, source, encoder, probe or operation, here or in a package of their own.

A suite is a class of tests; a test file derives one, and says what to try. They need pytest::

    from unlabeled.platform.testing import MethodSuite

    class TestMine(MethodSuite):
        methods = (MyConfig,)
"""

import pytest

_FILES = ("methods", "training", "sources", "examples", "encoders", "probes", "ops")
pytest.register_assert_rewrite(*(f"{__name__}.{file}" for file in _FILES))

from unlabeled.platform.testing.encoders import EncoderSuite  # noqa: E402  after pytest knows what to rewrite
from unlabeled.platform.testing.methods import MethodSuite  # noqa: E402
from unlabeled.platform.testing.ops import OpSuite  # noqa: E402
from unlabeled.platform.testing.probes import ProbeSuite  # noqa: E402
from unlabeled.platform.testing.sources import SourceSuite  # noqa: E402

__all__ = ["EncoderSuite", "MethodSuite", "OpSuite", "ProbeSuite", "SourceSuite"]
