"""``unlabeled probe``: measure encoders that are trained."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unlabeled.platform.cli import complete
from unlabeled.platform.cli.declared import say_json
from unlabeled.platform.cli.options import DataRoot, Home, Json, from_here, parse_changes, use_data_root
from unlabeled.platform.errors import UserError

if TYPE_CHECKING:
    from unlabeled.platform.config import EvaluationConfig
    from unlabeled.platform.data import DataConfig
    from unlabeled.platform.drive.probing import Probed
    from unlabeled.platform.train.given import GivenEncoder

_EVALUATION = ("final", "splits")
_FOREIGN = ("seed", "precision")

NAMES = "A finished run's id, an exported encoder's folder, a .safetensors file, or timm:NAME."
DataName = Annotated[
    str | None,
    typer.Option(
        "--data", help="Data set.", show_default="of a run its own; else needed", autocompletion=complete.data_sets
    ),
]
Encoder = Annotated[
    str | None,
    typer.Option(help="Architecture of the weights in a FILE, such as resnet18.", show_default="as its folder says"),
]
WeightsFile = Annotated[
    Path | None, typer.Option("--weights", help="Of timm:NAME: its .safetensors file.", show_default=False)
]
Gpus = Annotated[
    float | None, typer.Option("--gpus", help="0 computes on the CPU.", show_default="a GPU where there is one")
]


def probe(
    encoders: Annotated[list[str], typer.Argument(metavar="RUN|FOLDER|FILE...", help=NAMES)],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Such as final=knn,linear, splits='[\"test\"]' or data.train_images=500; repeatable.",
        ),
    ] = None,
    data: DataName = None,
    encoder: Encoder = None,
    weights: WeightsFile = None,
    gpus: Gpus = None,
    home: Home = None,
    data_root: DataRoot = None,
    json_: Json = False,
) -> None:
    """Measure trained encoders, without training: a run's in that run, another's in a run of its own."""
    use_data_root(data_root)
    from unlabeled.methods import METHODS
    from unlabeled.platform.drive.finished import is_id

    assert METHODS, "importing them makes them known to RunConfig"
    of_runs = [f"evaluation.{one}" if one.partition("=")[0] in _EVALUATION else one for one in set_ or []]
    changes = {path.removeprefix("evaluation."): value for path, value in parse_changes(of_runs).items()}
    asked = _asked(changes)
    on = _data(data, changes)
    found = []
    for name in encoders:
        if is_id(name):
            check_knows(name, encoder, weights)
            probed = _of_run(name, asked, on, changes, home, gpus)
        else:
            probed = _of_given(name, asked, on, changes, home, gpus, (encoder, weights))
        found.append(asdict(probed))
        if not json_:
            _print(probed)
        for note in probed.notes:
            _say(f"note: {note}")
    if json_:
        say_json(found)


def check_knows(run: str, encoder: str | None, weights: Path | None) -> None:
    """Refuse to be told what a run knows of itself."""
    if encoder is not None or weights is not None:
        raise UserError(f"{run} is a run, which knows its encoder; leave --encoder and --weights out")


def needs_data(given: "GivenEncoder") -> UserError:
    """Return what is said where no data are named for an encoder that has none of its own."""
    return UserError(f"say what {given.called} is to see, with --data NAME; `unlabeled data list` lists the sets")


def _asked(changes: dict[str, Any]) -> "EvaluationConfig":
    """Return what is to be measured."""
    from unlabeled.platform.config import EvaluationConfig

    evaluation = EvaluationConfig()
    for path, value in changes.items():
        head = path.partition(".")[0]
        if head in _EVALUATION:
            evaluation = evaluation.with_field(path, value)
        elif head not in ("data", *_FOREIGN):
            allowed = ", ".join((*_EVALUATION, "data.FIELD", *_FOREIGN))
            raise UserError(f"--set {path} would be ignored: the encoder is trained; what can be set is {allowed}")
    if not evaluation.final:
        raise UserError("nothing is to be measured; name a probe, such as --set final=linear")
    return evaluation


def _data(name: str | None, changes: dict[str, Any]) -> "DataConfig | None":
    """Return the data to measure on, where any are named."""
    from unlabeled.platform.data import DataConfig

    fields = {path.removeprefix("data."): value for path, value in changes.items() if path.startswith("data.")}
    if name is not None:
        return DataConfig.checked(**{**fields, "name": from_here(name)})
    if fields:
        raise UserError(f"--set data.{next(iter(fields))} is of other data than a run's own; name them with --data")
    return None


def _of_run(
    name: str,
    asked: "EvaluationConfig",
    on: "DataConfig | None",
    changes: dict[str, Any],
    home: Path | None,
    gpus: float | None,
) -> "Probed":
    from unlabeled.platform.drive.finished import find_finished
    from unlabeled.platform.drive.probing import probe_finished
    from unlabeled.platform.train.further import elsewhere

    if fixed := [path for path in _FOREIGN if path in changes]:
        raise UserError(f"--set {fixed[0]} is a finished run's own and would be ignored; leave it out")
    run = find_finished(name, home)
    return probe_finished(run, asked if on is None else elsewhere(asked, on), _say, gpus)


def _of_given(
    name: str,
    asked: "EvaluationConfig",
    on: "DataConfig | None",
    changes: dict[str, Any],
    home: Path | None,
    gpus: float | None,
    told: tuple[str | None, Path | None],
) -> "Probed":
    from unlabeled.platform.drive.home import make_home
    from unlabeled.platform.drive.probing import probe_given
    from unlabeled.platform.train.given import given_encoder

    given = given_encoder(name, *told)
    if on is None:
        raise needs_data(given)
    own = {path: changes[path] for path in _FOREIGN if path in changes}
    return probe_given(given, on, asked, make_home(home), _say, gpus=gpus, **own)


def _print(probed: "Probed") -> None:
    from unlabeled.platform.metrics import unit_of

    print(f"{probed.called}{'' if probed.is_new else ', measured before'}; MLflow run {probed.run_id}")
    width = max(map(len, probed.scores), default=0)
    for metric, value in probed.scores.items():
        print(f"  {metric:{width}}  {unit_of(metric).value(value)}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
