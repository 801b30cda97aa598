"""``unlabeled data``: list and download data sets."""

from typing import Annotated

import typer

from unlabeled.platform.cli.options import DataRoot, from_here, use_data_root

app = typer.Typer(help="List and download data sets.", no_args_is_help=True)


@app.command("list")
def data_list() -> None:
    """List the data sets."""
    from unlabeled.platform.data import DATASETS

    for name, entry in DATASETS.items():
        print(f"{name:24} {entry.description}\n{'':24} {entry.size}; {entry.licence}")


@app.command("download")
def data_download(
    name: Annotated[str, typer.Argument(help="Data set's name; `unlabeled data list` lists them.")],
    data_root: DataRoot = None,
) -> None:
    """Download a data set into the data root."""
    from unlabeled.platform.data import download

    use_data_root(data_root)
    print(download(from_here(name)))
