"""Commands that show: reports, the MLflow UI, views."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlabeled.platform.cli import complete
from unlabeled.platform.cli.declared import say_json
from unlabeled.platform.cli.ending import answered
from unlabeled.platform.cli.index import index
from unlabeled.platform.cli.options import DataRoot, Home, Json, check_png, from_here, save_png, use_data_root
from unlabeled.platform.errors import UserError, lookup

if TYPE_CHECKING:
    from unlabeled.dashboards.method_pages import About


def report(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Name of a study or search, or `runs` for those of `unlabeled run`.",
            show_default=False,
            autocompletion=complete.reported,
        ),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Report every study that has runs, as one site.")] = False,
    base: Annotated[
        str,
        typer.Option(help="Print the page of this base of the study: the start of its digest.", show_default="newest"),
    ] = "",
    home: Home = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to.", show_default="reports/NAME in home, with --all reports/")
    ] = None,
    json_: Json = False,
) -> None:
    """Write a study's report, or all studies' as a site, from what is logged."""
    if (name is not None) == all_:
        raise UserError("report takes a study's name or --all, one of them; `unlabeled study list` lists the studies")
    if base and name is None:
        raise UserError(f"--base {base} is of one study; name it, or leave --base out")
    from unlabeled.dashboards.publish import publish, publish_all

    if name is not None:
        page = publish(name, home, out, base=base)
        if json_:
            say_json({"name": name, **answered(page)})
        else:
            print(page)
        return
    from unlabeled.dashboards.website import Declared
    from unlabeled.studies import STUDIES

    declared = [Declared(study.name, study.question, study.cost) for study in STUDIES.values()]
    found = publish_all(home, out, declared, _methods_say())
    if json_:
        kept = {"studies": found.written, "failed": found.failed, "not_logged": found.not_logged}
        say_json({"report": found.page.absolute().as_uri(), **kept})
    else:
        print(found.page)
    problems = {**{study: f"not reported: {why}" for study, why in found.failed.items()}, **found.not_logged}
    for study, why in problems.items():
        print(f"{study}: {why}", file=sys.stderr)
    if found.failed:
        sys.exit(1)


def _methods_say() -> "list[About]":
    """Return what each method's file says on top: the idea, the paper, what differs from it; and what its kin share."""
    from unlabeled.dashboards.method_pages import About, Family

    declared = index()
    families = {name: Family(name, idea) for name, idea in declared["families"].items()}
    return [
        About(name, of["idea"], tuple(of["said"]), families[of["family"]], of["paper"], of["cost"])
        for name, of in declared["methods"].items()
    ]


def ui(
    home: Home = None, port: Annotated[int, typer.Option(help="Port to serve on.", min=1, max=65535)] = 5000
) -> None:
    """Serve the MLflow UI on the home's store, and print each study's page."""
    from unlabeled.platform.drive.home import find_home
    from unlabeled.platform.track import Store
    from unlabeled.platform.track.serve import serve

    _check_port(port)
    store = Store(find_home(home))
    address = f"http://127.0.0.1:{port}" if store.is_embedded else store.address
    for title, link in store.pages(address) or [("no runs yet", address)]:
        print(f"{title:24} {link}", flush=True)
    if store.is_embedded:
        print("serving until Ctrl-C; it takes some seconds to start", file=sys.stderr)
        sys.exit(serve(store, port))


def augment(
    policy: Annotated[
        str,
        typer.Option(help="Policy's name, such as simclr or moco-v2-small.", autocompletion=complete.policies),
    ] = "simclr-small",
    data: Annotated[str, typer.Option(help="Data set to draw from.", autocompletion=complete.data_sets)] = "emoji",
    field: Annotated[str, typer.Option(help="What of its items: pictures, clips or sounds; else the first.")] = "",
    images: Annotated[int, typer.Option(min=1, help="Items, a row each.")] = 8,
    seed: Annotated[int, typer.Option(help="Another seed draws other views.")] = 0,
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("views.png"),
    data_root: DataRoot = None,
) -> None:
    """Draw pictures, or strips of films, and the views that a policy makes of them; of sounds their spectrograms."""
    use_data_root(data_root)
    from unlabeled.platform.augment import POLICIES, Policy, View, ViewPlan
    from unlabeled.platform.augment.picture import draw_views
    from unlabeled.platform.data import DataConfig, load
    from unlabeled.platform.data.format import SEEN

    views_policy = lookup("policy", policy, POLICIES)
    check_png(out)
    loaded = load(DataConfig.checked(name=from_here(data)))
    items, field = loaded.pretrain, field or loaded.field
    lookup(f"picture, clip or sound of {data}", field, {n: f for n, f in items.fields.items() if f.kind in SEEN})
    if items.fields[field].kind == "wave":
        views_policy = Policy()  # those of pictures don't go with it
    plan = ViewPlan(views=(View(field=field, policy=views_policy),) * 2)
    index = items.rows[items.known(field)][:images]
    save_png(draw_views({field: items.tensor(index, field)}, plan, seed=seed), out)
    print(f"{out}: {views_policy.summary}")


def _check_port(port: int) -> None:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left may be taken again
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"port {port} can't be served on ({error.strerror}); give another with --port") from None
