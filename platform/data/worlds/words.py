"""Captions of worlds, in plain English."""

_TIMES = ("never bounces", "bounces once", "bounces twice")


def with_article(name: str) -> str:
    """Return a name after its article; a plural has none.

    >>> with_article("red apple"), with_article("otter"), with_article("chopsticks"), with_article("glass")
    ('a red apple', 'an otter', 'chopsticks', 'a glass')
    """
    if name.endswith("s") and not name.endswith(("ss", "us", "is", "as")):
        return name
    return f"{'an' if name[0] in 'aeiouAEIO' else 'a'} {name}"


def side(right: int, down: int) -> str:
    """Say where something is that lies so far to the right of another thing and below it."""
    if abs(right) > abs(down):
        return "right of" if right > 0 else "left of"
    return "below" if down > 0 else "above"


def bounces(count: int) -> str:
    """Say how often something bounces.

    >>> bounces(0), bounces(3)
    ('never bounces', 'bounces 3 times')
    """
    return _TIMES[count] if count < len(_TIMES) else f"bounces {count} times"
