"""Pictures of a run: the views that it learned from, and a map of what it learned."""

import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from unlabeled.platform.augment.picture import draw_figure, draw_views
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.evaluate.extraction import extract
from unlabeled.platform.evaluate.features import check_finite, in_eval_mode
from unlabeled.platform.method import Method
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.batches import clean_batch, items_of
from unlabeled.platform.train.notes import Notes
from unlabeled.platform.train.views import views_of

_MAX_LETTERS = 40  # of a class's name in the legend
_MAX_NAMED = 20  # classes in the legend
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a5fbf")
"""Told apart in any colour vision, after Okabe and Ito (2008); with the marks, 40 classes differ in one or both."""
_MARKS = ("o", "^", "s", "X", "D")


def draw_all(method: Method, run: RunConfig, data: Data, folder: Path, processor: Processor, notes: Notes) -> None:
    """Make each drawing of a trained run that can be made."""
    with notes.guard("views were not drawn"):
        draw_views_of(run, data, folder / "views.png")
    with notes.guard("the method's pictures were not drawn"):
        draw_figures_of(method, run, data, processor, folder / "pictures", notes)
    if run.evaluation.tsne_images and "class" in data.test.fields:
        with notes.guard("t-SNE was not drawn"):
            draw_tsne(method.encoder, run, data, processor, folder / "tsne.png")


def draw_views_of(run: RunConfig, data: Data, path: Path, num_images: int = 6) -> None:
    """Draw the first training pictures and the views that the run's plan makes of them, as a PNG."""
    plan = run.method.views
    index = data.pretrain.rows[:num_images]
    items = items_of(plan, data.pretrain, index)
    draw_views(
        items, plan, columns=8, seed=run.seed, make=lambda scope: views_of(plan, data.pretrain, index, scope)
    ).save(path)


def draw_figures_of(
    method: Method,
    run: RunConfig,
    data: Data,
    processor: Processor,
    folder: Path,
    notes: Notes,
    num_items: int = 8,
) -> None:
    """Draw what the method makes of the first test items, a PNG for each of its figures; it is left as it was.

    A figure that can't be drawn is noted, and the others are drawn; the method makes all at once.
    """
    plan, items = run.method.plan, data.test
    there = torch.stack([items.known(field) for field in (*plan.fields, *plan.targets)]).all(dim=0)
    index = items.rows[there][:num_items]
    batch = clean_batch(items, plan, index, processor, (run.seed, "pictures"))
    with torch.no_grad(), in_eval_mode(method), processor.autocast():
        figures = method.figures(batch)
    for name, figure in figures.items():
        with notes.guard(f"the method's picture {name!r} was not drawn"):
            folder.mkdir(parents=True, exist_ok=True)
            draw_figure(figure, f"{run.method.name}: {name}").save(folder / f"{name}.png")


def draw_tsne(encoder: Encoder, run: RunConfig, data: Data, processor: Processor, path: Path) -> None:
    """Draw test features in two dimensions (t-SNE; van der Maaten, Hinton 2008), coloured by class, as a PNG.

    Raises:
        ValueError: there is no map of these pictures: fewer than three, or all of one kind to the encoder.
        NotFiniteError: a feature is NaN or infinite.
    """
    features = extract(encoder, data.test, processor, run.evaluation.tsne_images, field=data.field)
    assert features.labels is not None
    place = places(features.x.cpu().numpy(), run.seed)
    draw_map(place, features.labels.cpu().numpy(), data.classes, path)


def places(x_ND: npt.NDArray[Any], seed: int) -> npt.NDArray[Any]:
    """Return where t-SNE puts features, [N, 2].

    Raises:
        ValueError: there is no map of these pictures: fewer than three, or all of one kind to the encoder.
        NotFiniteError: a feature is NaN or infinite.
    """
    from sklearn.manifold import TSNE  # here, because scikit-learn takes a second to import

    check_finite(torch.from_numpy(x_ND))
    if len(x_ND) < 3:
        raise ValueError(f"a map needs three pictures or more, and there are {len(x_ND)}")
    x_ND = x_ND.astype(np.float64) - x_ND.mean(axis=0, dtype=np.float64)
    largest = np.abs(x_ND).max()
    if largest == 0.0 or len(np.unique(x_ND, axis=0)) < 3:
        raise ValueError(f"the encoder makes nearly the same of all {len(x_ND)} pictures: there is nothing to map")
    x_ND = (x_ND / largest).astype(np.float32)  # t-SNE sees no scale, and large numbers squared would overflow
    placed: npt.NDArray[Any] = TSNE(
        init="pca" if x_ND.shape[1] > 1 else "random",
        perplexity=min(30.0, (len(x_ND) - 1) / 3),
        random_state=seed % 2**32,  # NumPy's generators take no more
        max_iter=500,
    ).fit_transform(x_ND)
    return placed


def draw_map(place_N2: npt.NDArray[Any], labels_N: npt.NDArray[Any], classes: Sequence[str], path: Path) -> None:
    """Draw points coloured by class as a PNG, with a legend where it has room for one; names stand as they are."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 5.4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number in np.unique(labels_N):
        own = place_N2[labels_N == number]
        axes.scatter(own[:, 0], own[:, 1], s=9, linewidths=0, **_look(number))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if len(classes) <= _MAX_NAMED:
        dots = [axes.scatter([], [], s=9, linewidths=0, **_look(number)) for number in range(len(classes))]
        numbers = [str(number) for number in range(len(classes))]  # a label with _ in front would be left out
        legend = axes.legend(
            dots, numbers, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, markerscale=2
        )
        for text, name in zip(legend.get_texts(), classes, strict=True):
            text.set_parse_math(False)
            text.set_text(drawable(name))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph|Matplotlib currently does not support", category=UserWarning)
        figure.savefig(path, metadata={"Software": None})


def _look(number: int) -> dict[str, Any]:
    return {"color": _COLORS[number % len(_COLORS)], "marker": _MARKS[number % len(_MARKS)]}


def drawable(name: str) -> str:
    """Return a name in one short line of text that can be encoded; what can't be shown becomes a question mark.

    >>> drawable("two\\nlines"), drawable("\\udcff"), len(drawable("x" * 999))
    ('two lines', '?', 40)
    """
    text = " ".join(name.encode(errors="replace").decode().split())
    text = "".join("?" if unicodedata.category(letter) in ("Cc", "Cs", "Cn", "Co") else letter for letter in text)
    return text if len(text) <= _MAX_LETTERS else text[: _MAX_LETTERS - 1] + "…"
