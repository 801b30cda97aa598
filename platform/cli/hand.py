"""``unlabeled embed`` and ``unlabeled export``: a trained encoder's features of data, and it itself, as files."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlabeled.platform.cli.declared import say_json
from unlabeled.platform.cli.options import DataRoot, Home, Json, from_here, parse_changes, use_data_root
from unlabeled.platform.cli.probe import NAMES, DataName, Encoder, Gpus, WeightsFile, check_knows, needs_data
from unlabeled.platform.errors import lookup

if TYPE_CHECKING:
    from torch import nn

_OUT = {
    "safetensors": "encoder",
    "timm": "encoder.timm.safetensors",
    "torch.export": "encoder.pt2",
    "onnx": "encoder.onnx",
    "hub-folder": "encoder-for-hub",
}


def embed(
    encoder_of: Annotated[str, typer.Argument(metavar="RUN|FOLDER|FILE", help=NAMES)],
    data: DataName = None,
    out: Annotated[Path, typer.Option(help="A .parquet or .npz file to write.")] = Path("features.parquet"),
    layer: Annotated[
        str | None,
        typer.Option(help="Of which layer: a block, such as block3, or a run's head.", show_default="the last"),
    ] = None,
    splits: Annotated[str, typer.Option(help="Which splits, with commas.")] = "train,validation,test",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="data.FIELD=VALUE", help="Set a field of the data; repeatable."),
    ] = None,
    encoder: Encoder = None,
    weights: WeightsFile = None,
    gpus: Gpus = None,
    home: Home = None,
    data_root: DataRoot = None,
    json_: Json = False,
) -> None:
    """Write what a trained encoder makes of each item, with its split, place, path and class."""
    use_data_root(data_root)
    from unlabeled.methods import METHODS
    from unlabeled.platform.data import DataConfig
    from unlabeled.platform.drive.finished import find_finished, is_id
    from unlabeled.platform.drive.probing import method_of
    from unlabeled.platform.evaluate.layers import layers
    from unlabeled.platform.processor import Processor
    from unlabeled.platform.train.embedding import SPLITS, check_out
    from unlabeled.platform.train.embedding import embed as write
    from unlabeled.platform.train.given import given_encoder

    assert METHODS, "importing them makes encoders with eyes of their own known"
    check_out(out)
    chosen = tuple(dict.fromkeys(part.strip() for part in splits.split(",")))
    for split in chosen:
        lookup("split", split, dict.fromkeys(SPLITS))
    config = None if data is None else DataConfig.checked(name=from_here(data))
    run = None
    if is_id(encoder_of):
        check_knows(encoder_of, encoder, weights)
        run = find_finished(encoder_of, home)
        given, config = given_encoder(str(run.encoder)), config or run.config.data
    else:
        given = given_encoder(encoder_of, encoder, weights)
    if config is None:
        raise needs_data(given)
    for path, value in parse_changes(set_).items():
        config = config.with_field(path.removeprefix("data."), value)
    _, seen = given.data(config)
    processor = Processor.here("fp32", gpus)
    built = given.build(seen)
    module: nn.Module = built
    if layer is not None:
        method = given.around(built, seen) if run is None else method_of(run, processor)
        module = lookup(f"layer of {given.called if run is None else run.called}", layer, layers(method))
    count, dim = write(module, seen, chosen, out, processor)
    if json_:
        say_json({"file": str(out), "items": count, "features": dim, "data": seen.name, "encoder": given.called})
    else:
        print(f"{out}: {dim} features of {count:,} items of {seen.name}, by {given.called}")


def export(
    encoder_of: Annotated[
        str, typer.Argument(metavar="RUN|FOLDER", help="A finished run's id, or an exported encoder's folder.")
    ],
    format_: Annotated[
        str, typer.Option("--format", help="safetensors, timm, torch.export, onnx or hub-folder.")
    ] = "safetensors",
    out: Annotated[
        Path | None, typer.Option(help="File or folder to write.", show_default="encoder, by its format")
    ] = None,
    home: Home = None,
    json_: Json = False,
) -> None:
    """Write a trained encoder in a form that other libraries load; prints how."""
    lookup("format", format_, _OUT)
    from unlabeled.methods import METHODS
    from unlabeled.platform.drive.finished import find_finished, is_id
    from unlabeled.platform.encoder.weights import exported
    from unlabeled.platform.train.handed_on import hand_on

    assert METHODS, "importing them makes encoders with eyes of their own known"
    folder = find_finished(encoder_of, home).encoder if is_id(encoder_of) else exported(Path(encoder_of).expanduser())
    out = Path(_OUT[format_]) if out is None else out
    how = hand_on(folder, format_, out)
    if json_:
        say_json({"file": str(out), "format": format_, "load": how})
    else:
        print(f"{out}: {how}")
    if format_ in ("timm", "hub-folder"):
        print("timm shows it pixels less their mean, over their deviation: both are in its config", file=sys.stderr)
