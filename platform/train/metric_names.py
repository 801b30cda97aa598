"""What a method's logs are called: each by a name of its own that a tracking store takes, found before they are logged.

A name that is refused after the training costs the run; one that falls together with another costs a number.
"""

import functools
import hashlib

from unlabeled.platform.metrics import AREAS
from unlabeled.platform.train.loggable import metric_name


@functools.lru_cache(maxsize=64)
def of_logs(names: tuple[str, ...], areas: tuple[str, ...] = ()) -> dict[str, str]:
    """Return what is logged under which name: name -> the name that it gets, the same one where that will do.

    Args:
        names: as the method has them, ``area/name``. One without an area, or in an area that is not the method's, gets
            the area ``method``.
        areas: further areas that are taken: the followed probe's.

    >>> of_logs(("contrast/top1", "pretext/acc@1", "loss", "test/top1"))
    {'contrast/top1': 'contrast/top1', 'pretext/acc@1': 'pretext/acc_1', 'loss': 'method/loss', \
'test/top1': 'method/test/top1'}
    >>> of_logs(("a/acc@1", "a/acc_1"))
    {'a/acc@1': 'a/acc_1-77d0c5', 'a/acc_1': 'a/acc_1'}
    """
    taken = {*AREAS, *areas}
    found: dict[str, str] = {}
    for name in names:
        cleaned = metric_name(name)
        area, _, rest = cleaned.partition("/")
        found[name] = cleaned if rest and area.lower() not in taken else metric_name(f"method/{cleaned}")
    alike: dict[str, list[str]] = {}
    for name in sorted(names):
        alike.setdefault(found[name].lower(), []).append(name)  # some databases know no case
    for of_one in alike.values():
        keeps = next((name for name in of_one if found[name] == name), None)
        for name in of_one if len(of_one) > 1 else ():
            if name != keeps:
                digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:6]
                found[name] = metric_name(f"{found[name]}-{digest}")
    return found
