import json

import pytest
from pydantic import Field

from unlabeled.platform.errors import UserError
from unlabeled.platform.settings import Settings, Variant


class Shape(Variant):
    size: int = Field(default=1, ge=1)


class Square(Shape):
    name = "square"


class Ring(Shape):
    name = "ring"
    hole: float = 0.5


class Drawing(Settings):
    main: Shape = Square()
    others: tuple[Shape, ...] = ()
    title: str = ""


def test_json_round_trip_keeps_the_kinds() -> None:
    drawing = Drawing(main=Ring(hole=0.25), others=(Square(size=3), Ring()))
    again = Drawing.model_validate_json(drawing.canonical_json())
    assert again == drawing
    assert isinstance(again.others[1], Ring)


def test_canonical_json_is_one_text_for_equal_values() -> None:
    assert (
        Drawing(title="a", main=Ring(size=2)).canonical_json() == Drawing(main=Ring(size=2), title="a").canonical_json()
    )
    assert json.loads(Drawing().canonical_json())["main"] == {"name": "square", "size": 1}


def test_digest_changes_with_any_field_and_with_what_is_added() -> None:
    digests = {
        Drawing().digest(),
        Drawing(title="x").digest(),
        Drawing(main=Ring()).digest(),
        Drawing(main=Square(size=2)).digest(),
        Drawing().digest("more"),
    }
    assert len(digests) == 5


def test_the_identity_leaves_defaults_out_and_names_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Drawing().identity() == {}
    assert Drawing(title="x", main=Ring(size=2)).identity() == {"title": "x", "main": {"name": "ring@1", "size": 2}}
    assert Drawing(others=(Square(),)).identity() == {"others": [{"name": "square@1"}]}
    before = Drawing().digest()

    class Page(Drawing):
        margin: float = 0.1

    assert Page().digest() == before, "a field that is new changes nothing of what is done"
    monkeypatch.setattr(Square, "version", 2)
    assert Drawing().identity() == {"main": {"name": "square@2"}}, "code that is new does, in a default too"
    assert Drawing(main=Ring()).identity() == {"main": {"name": "ring@1"}}
    monkeypatch.setattr(Drawing, "version", 3)
    assert Drawing(main=Ring()).identity() == {"@": 3, "main": {"name": "ring@1"}}


def test_the_digest_may_leave_a_field_out() -> None:
    assert Drawing(title="x").digest(without="title") == Drawing(title="y").digest(without="title")
    assert Drawing(title="x").digest(without="main") != Drawing(title="y").digest(without="main")


def test_two_kinds_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="both called 'ring'; rename one"):

        class Hoop(Shape):
            name = "ring"


def test_with_field_changes_by_path_and_leaves_the_original() -> None:
    drawing = Drawing(main=Ring())
    assert drawing.with_field("main.hole", 0.1).main == Ring(hole=0.1)
    assert drawing.main == Ring()


def test_setting_the_name_changes_the_kind() -> None:
    assert Drawing(main=Ring(size=3)).with_field("main.name", "square").main == Square()
    assert Drawing(main=Ring(size=3)).with_field("main.name", "ring").main == Ring(size=3)


def test_flat_opens_nested_values_by_dotted_path() -> None:
    assert Drawing(main=Ring()).flat() == {
        "main.name": "ring",
        "main.size": 1,
        "main.hole": 0.5,
        "others": (),
        "title": "",
    }


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("mian", 1, r"no field of Drawing is called 'mian'; did you mean 'main'\? There are: main, others, title"),
        ("main.hloe", 1, r"no field of Square is called 'hloe'; .*[Tt]here are: size"),
        ("main.size", 0, r"size: Input should be greater than or equal to 1, got 0"),
        ("main.size", "big", r"size: .*valid integer.*got 'big'"),
        ("title.text", "x", r"Drawing.title is '' and has no field 'text'; set title itself"),
        ("main.name", "rign", r"no Shape is called 'rign'; did you mean 'ring'\?"),
        ("main", {"name": "rign"}, r"no Shape is called 'rign'; did you mean 'ring'\?"),
        ("main", {"name": "ring", "whole": 1}, r"there is no field 'main.whole'|there is no field 'whole'"),
    ],
)
def test_a_wrong_change_is_one_clear_line(path: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        Drawing().with_field(path, value)
    assert "\n" not in str(caught.value)


def test_not_a_number_is_refused() -> None:
    with pytest.raises(UserError, match="finite"):
        Ring.checked(hole=float("nan"))


def test_values_can_not_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Square().size = 2  # type: ignore[misc]
