"""The pictures of rows on a page: views, maps of features, and what methods make of pictures."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

Artifacts = Mapping[str, Mapping[str, Path]]
"""Row -> name of a picture -> its PNG."""

_WORDS = {"views": "the views that the method saw", "tsne": "t-SNE of the encoder's features on test images"}
_TITLES = {"views": "Views", "tsne": "t-SNE"}
_QUALITY = 80  # of WebP, which is a quarter of the PNG at no loss that one sees


def gallery(artifacts: Artifacts, rows: Sequence[str]) -> list[dict[str, Any]]:
    """Return the pictures to show, kind by kind as data URIs; where rows have the same picture, it is shown once."""
    kinds = dict.fromkeys([*_WORDS, *(kind for row in rows for kind in artifacts.get(row, {}))])
    found: list[dict[str, Any]] = []
    for kind in kinds:
        of_rows: dict[bytes, list[str]] = {}
        for row in rows:
            path = artifacts.get(row, {}).get(kind)
            if path is not None and path.is_file():
                of_rows.setdefault(path.read_bytes(), []).append(row)
        for png, those in of_rows.items():
            whose = "every row" if len(those) == len(rows) > 1 else ", ".join(those)
            words = _WORDS.get(kind, f"{kind} of test pictures")
            found.append(
                {"title": f"{_TITLES.get(kind, kind)} of {whose}", "alt": f"{whose}: {words}", "uri": _data_uri(png)}
            )
    return found


def _data_uri(png: bytes) -> str:
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").save(out, "WEBP", quality=_QUALITY, method=6)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
