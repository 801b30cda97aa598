"""Run the benchmarks: ``python -m benchmarks [NAME ...]``; exit code 1 if a target is missed."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks import (
    augmentation,
    checkpoints,
    claims,
    decoding,
    demo,
    evaluating,
    large,
    loading,
    memory,
    orchestration,
    peers,
    probes,
    search,
    startup,
    store,
    studies,
    training,
    workers,
    worlds,
)
from benchmarks.compare import Row

BENCHMARKS: Mapping[str, Callable[[], Iterator[Row]]] = {
    "startup": startup.rows,
    "training": training.rows,
    "memory": memory.rows,
    "augmentation": augmentation.rows,
    "decoding": decoding.rows,
    "large": large.rows,
    "loading": loading.rows,
    "worlds": worlds.rows,
    "probes": probes.rows,
    "orchestration": orchestration.rows,
    "store": store.rows,
    "demo": demo.rows,
    "search": search.rows,
    "claims": claims.rows,
    "studies": studies.rows,
    "workers": workers.rows,
    "evaluating": evaluating.rows,
    "checkpoints": checkpoints.rows,
    "peers": peers.rows,
}
MINUTES = (
    "checkpoints",
    "claims",
    "demo",
    "evaluating",
    "loading",
    "peers",
    "probes",
    "search",
    "studies",
    "workers",
)  # what takes so long
DEFAULT = tuple(name for name in BENCHMARKS if name not in MINUTES)
BUSY = 0.5  # running processes per core, of others, from which on the machine counts as busy


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)} [{', '.join(DEFAULT)}]")
    names = parser.parse_args().names or DEFAULT
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    for variable in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        os.environ.pop(variable, None)  # stores and clusters are the benchmarks' own
    console = Console(width=None if sys.stdout.isatty() else 150)  # a pipe has no width to fit to
    say_load(console)
    missed = 0
    for name in names:
        with console.status(name):
            found = list(BENCHMARKS[name]())
        console.print(table_of(name, found))
        missed += sum(row.met is False for row in found)
    if missed:
        console.print(f"[red]{missed} target{'s' if missed > 1 else ''} missed[/]")
    return int(missed > 0)


def table_of(name: str, found: Sequence[Row]) -> Table:
    """Lay out what one benchmark found."""
    table = Table(title=name, title_justify="left", title_style="bold")
    for head, width in (("what", 44), ("ours", 18), ("reference", 40)):
        table.add_column(head, min_width=width)
    table.add_column("ratio", justify="right", min_width=5)
    table.add_column("target", min_width=24)
    table.add_column("")
    for row in found:
        mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}[row.met]
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.what, row.ours, row.reference, ratio, row.target, mark)
    return table


def say_load(console: Console) -> None:
    """Say how busy the machine was before: wall-clock targets may be missed by no fault of ours."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    busy = load > BUSY * cores
    console.print(
        f"{cores} cores, load {load:.1f} in the last minute{': the machine is busy' if busy else ''}",
        style="yellow" if busy else "dim",
    )


if __name__ == "__main__":
    sys.exit(main())
