"""Unlabeled: self-supervised learning experiments on Ray, with reports that judge published claims.

>>> import unlabeled
>>> unlabeled.__version__
'0.1.0'
"""

from pathlib import Path as _Path

__version__ = "0.1.0"

_here = _Path(__file__).parent
if not (_here / "platform").is_dir():  # a link that arrived as a text file, from a git or disk without symbolic links
    if not (_here.parent / "platform" / "cli").is_dir():
        raise ImportError(
            f"{_here} lacks platform/, methods/, studies/ and dashboards/, which are symbolic links in a checkout: it "
            "was copied or built without them; in a checkout, `git config core.symlinks true` and "
            "`git checkout -- unlabeled` make them; then install it again"
        )
    __path__.append(str(_here.parent))  # where the folders are that the links would lead to
