"""``unlabeled data``: list, show and download data sets."""

from pathlib import Path
from typing import Annotated

import typer

from unlabeled.platform.cli import complete
from unlabeled.platform.cli.declared import say_json, say_list
from unlabeled.platform.cli.index import index
from unlabeled.platform.cli.options import DataRoot, Json, check_png, from_here, parse_changes, save_png, use_data_root
from unlabeled.platform.errors import lookup

app = typer.Typer(help="List, show and download data sets.", no_args_is_help=True)
DataName = Annotated[
    str,
    typer.Argument(help="Data set's name; `unlabeled data list` lists them.", autocompletion=complete.data_sets),
]
SPLITS = ("pretrain", "train", "validation", "test")


@app.command("list")
def data_list(json_: Json = False) -> None:
    """List the data sets."""
    sets = index()["data"]
    if json_:
        say_json([{"name": name, **entry} for name, entry in sets.items()])
        return
    say_list((name, entry["description"], f"{entry['size']}; {entry['licence']}") for name, entry in sets.items())


@app.command("show")
def data_show(
    name: DataName,
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("data.png"),
    count: Annotated[int, typer.Option(min=1, max=1_000, help="How many items.")] = 8,
    split: Annotated[str, typer.Option(help="Of which: pretrain, train, validation or test.")] = "test",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Set a field of the data, such as image_px=64; repeatable."),
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Draw the first items of a split, with all that they hold: masks, boxes, points, films, sounds, words."""
    use_data_root(data_root)
    from unlabeled.platform.data import DataConfig, load
    from unlabeled.platform.data.page import draw_items

    check_png(out)
    lookup("split", split, dict.fromkeys(SPLITS))
    fields = {path.removeprefix("data."): value for path, value in parse_changes(changes).items()}
    data = load(DataConfig.checked(**{**fields, "name": from_here(name)}))
    items = getattr(data, split)
    page = draw_items(items, items.rows[:count], f"{data.name}, {split}: {min(count, len(items))} of {len(items):,}")
    save_png(page, out)
    print(f"{out}: {data.summary()}")


@app.command("download")
def data_download(
    name: DataName,
    data_root: DataRoot = None,
) -> None:
    """Download a data set into the data root."""
    from unlabeled.platform.data import download

    use_data_root(data_root)
    print(download(from_here(name)))
