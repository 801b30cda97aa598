"""A written page as tests read it: its tags in order, its words, its sections, where its links lead."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class Page(HTMLParser):
    """A page, whose tags close in order."""

    EMPTY = ("meta", "img", "link", "br", "hr", "input", "path", "use", "rect", "line", "circle")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        """What a person reads."""
        return " ".join("".join(self.words).split())

    def headings(self) -> list[str]:
        """The identifiers of the page's sections."""
        return [given["id"] for tag, given in self.tags if tag == "section"]

    def links(self) -> list[str]:
        """Where its links lead."""
        return [given["href"] for tag, given in self.tags if tag == "a"]
