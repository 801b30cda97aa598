"""Everything that is declared, read off the declarations themselves, as plain values. Importing them takes seconds."""

import inspect
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any

from unlabeled.platform.cli.declared import as_set
from unlabeled.platform.cli.described import described, name_of

if TYPE_CHECKING:
    from unlabeled.platform.config import RunConfig
    from unlabeled.platform.method import MethodConfig
    from unlabeled.platform.search import Search
    from unlabeled.platform.study import Study


def gather() -> dict[str, Any]:
    """Return all that has a name, with what there is to say of it.

    ``studies``, ``searches``, ``methods``, ``families`` of methods, ``data`` and ``policies`` by name; ``settings``,
    the fields of a run (see :func:`~unlabeled.platform.cli.described.described`); and ``others``, the files of other
    packages that some of it comes from, or None where what one of them brings can't be loaded.
    """
    from unlabeled.methods import METHODS
    from unlabeled.platform.augment import POLICIES
    from unlabeled.platform.config import RunConfig
    from unlabeled.platform.data.catalogue import datasets
    from unlabeled.studies import STUDIES
    from unlabeled.studies.searches import SEARCHES

    return {
        "studies": {name: of_study(study) for name, study in STUDIES.items()},
        "searches": {name: of_search(search) for name, search in SEARCHES.items()},
        "methods": {name: _of_method(config) for name, config in METHODS.items()},
        "families": _families(METHODS.values()),
        "data": {
            name: {"description": one.description, "size": one.size, "licence": one.licence, "source": one.source}
            for name, one in datasets().items()
        },
        "policies": {name: policy.summary for name, policy in POLICIES.items()},
        "settings": described(RunConfig),
        "others": _others(),
    }


def of_study(study: "Study") -> dict[str, Any]:
    """Return what a study asks, runs and claims, at each scale."""
    from unlabeled.platform.config import plain

    profiles = {}
    for profile in study.profiles:
        rows = study.row_settings(profile)
        varied = dict.fromkeys(path for fields in rows.values() for path in fields)
        profiles[profile] = {
            "rows": {
                row: {path: as_set(value, otherwise=plain(value)) for path, value in fields.items()}
                for row, fields in rows.items()
            },
            "base": _settable(study.base(profile), varied),
            "record": study.record(profile),
        }
    claims = [
        {"statement": claim.statement, "source": claim.source, "published": claim.published} for claim in study.claims
    ]
    return {
        **{name: getattr(study, name) for name in ("name", "question", "source", "expected", "cost", "measure")},
        "seeds": list(study.seeds),
        "claims": claims,
        "profiles": profiles,
    }


def of_search(search: "Search") -> dict[str, Any]:
    """Return what a search asks, and where it looks."""
    return {
        **{name: getattr(search, name) for name in ("name", "question", "source", "expected", "cost")},
        **{name: getattr(search, name) for name in ("trials", "best", "further_seeds", "prune_on")},
        "objectives": [f"{objective.direction} {objective.metric}" for objective in search.objectives],
        "space": {path: dimension.summary for path, dimension in search.space.items()},
        "constraints": [constraint.sentence for constraint in search.constraints],
        "profiles": {name: {"base": _settable(search.base(name), search.space)} for name in search.profiles},
    }


def _families(configs: "Iterable[type[MethodConfig]]") -> dict[str, str]:
    """Return each family of methods with what its folder says of it, in reading order."""
    packages = {
        _family(config): sys.modules[config.__module__.rpartition(".")[0] or config.__module__] for config in configs
    }
    return {family: " ".join((package.__doc__ or "").split()) for family, package in packages.items()}


def _family(config: "type[MethodConfig]") -> str:
    return config.__module__.removeprefix("unlabeled.methods.").partition(".")[0].replace("_", "-")


def _of_method(config: "type[MethodConfig]") -> dict[str, Any]:
    """Return a method's family, cost, paper, what its file says on top, and the name of its settings' class."""
    said = inspect.cleandoc(sys.modules[config.__module__].__doc__ or config.name)
    head, *paragraphs = _paragraphs(said)
    is_ours = config.__module__.startswith("unlabeled.methods.")
    return {
        "family": _family(config),
        "cost": config.cost,
        "paper": config.paper,
        "idea": head,
        "said": [words for words in paragraphs if not words.startswith("Shapes")] if is_ours else [],
        "settings": name_of(config),
    }


def _paragraphs(said: str) -> list[str]:
    """Return the paragraphs of a docstring, each as one line; items of lists are some of their own, and formulas.

    >>> _paragraphs("A head.\\n\\nIts loss\\nis\\n\\n    x\\n    + y\\n\\n- one,\\n  long\\n- two")
    ['A head.', 'Its loss is', '    x\\n    + y', '- one, long', '- two']
    """
    found: list[str] = []
    for paragraph in said.split("\n\n"):
        is_new = True
        for line in paragraph.split("\n"):
            if line.startswith("    "):
                found += [line] if is_new or not found[-1].startswith("    ") else [f"{found.pop()}\n{line}"]
            elif is_new or line.startswith("- ") or found[-1].startswith("    "):
                found.append(line.strip())
            else:
                found[-1] = f"{found[-1]} {line.strip()}"
            is_new = False
    return found


def _settable(base: "RunConfig", elsewhere: Iterable[str] | Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a base run as ``--set`` takes them, without those set ``elsewhere``, and their parts.

    Args:
        base: the run.
        elsewhere: dotted paths.
    """
    own, whole = tuple(elsewhere), base.parameters()
    return {
        path: as_set(value, otherwise=whole[path])
        for path, value in base.flat().items()
        if not any(path == other or path.startswith(f"{other}.") for other in own)
    }


def _others() -> list[str] | None:
    packages = set()
    for point in (point for package in distributions() for point in package.entry_points):
        if point.group.startswith("unlabeled."):
            try:
                point.load()
            except Exception:  # which was said when it was looked for
                return None
            packages.add(point.module.partition(".")[0])
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] in packages]
    return sorted({file for module in modules if (file := getattr(module, "__file__", None))})
