"""Ray gives its own start half a minute, which a busy machine may not be able to keep."""

import pytest
import ray

from unlabeled.platform.drive import cluster
from unlabeled.platform.errors import UserError

LATE = Exception("The current node timed out during startup. This could happen because some of the raylet failed.")


class Init:
    """Fails as told, then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def __call__(self, **settings: object) -> None:
        assert settings == {"address": "local"}
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


def test_a_start_that_took_ray_too_long_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    init = Init(LATE, LATE)
    monkeypatch.setattr(ray, "init", init)
    cluster._init(address="local")
    assert init.calls == 3


def test_a_start_that_never_succeeds_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "init", Init(*[LATE] * 9))
    with pytest.raises(UserError, match=r"^Ray did not start within 3 times half a minute; the machine is too busy"):
        cluster._init(address="local")


@pytest.mark.parametrize("error", [Exception("another"), ConnectionError("timed out during startup")], ids=repr)
def test_what_else_goes_wrong_is_not_tried_again(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    init = Init(error)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(type(error), match=str(error)):
        cluster._init(address="local")
    assert init.calls == 1
