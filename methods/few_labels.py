"""Few labelled pictures beside many others: a stream of the plan, which goes through the encoder with the rest."""

from unlabeled.platform.augment import Policy, Stream, ViewPlan
from unlabeled.platform.data import Data
from unlabeled.platform.errors import UserError

LABELLED = "labelled"


def labelled_beside(views: tuple[Policy, ...], shown: Policy, *, beside: int, per_class: int) -> ViewPlan:
    """Plan views of each picture, and beside each so many a labelled one, of few of a class, ``shown`` by a policy."""
    labelled = Stream(plan=ViewPlan(views=(shown,), targets=("class",)), beside=beside, per_class=per_class)
    return ViewPlan(views=views, streams={LABELLED: labelled})


def check_labelled(method: str, views: ViewPlan, data: Data) -> None:
    """Raise UserError where there is no labelled stream of one view, or its pictures do not go with the others."""
    stream = views.streams.get(LABELLED)
    if stream is None or "class" not in stream.plan.targets or len(stream.plan.views) != 1:
        raise UserError(
            f"{method} needs a stream of method.views called {LABELLED!r}, with one view and the target 'class'; leave "
            "method.views out, or take labelled_beside() of methods/few_labels.py"
        )
    sides = {view.output_px(data.image_px) for view in (*views.views, *stream.plan.views)}
    if len(sides) > 1:
        raise UserError(
            f"all views of {method} go through the encoder together, and have sides of "
            f"{', '.join(map(str, sorted(sides)))} px; set the sizes of their crops to one"
        )
