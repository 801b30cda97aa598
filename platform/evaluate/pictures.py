"""Pictures of a run: the views that it learned from, and a map of what it learned."""

from pathlib import Path

import torch

from unlabeled.platform.augment import denormalize, normalize
from unlabeled.platform.augment.picture import draw_columns, draw_views
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.evaluate.features import extract, in_eval_mode
from unlabeled.platform.method import Method
from unlabeled.platform.processor import Processor


def draw_views_of(run: RunConfig, data: Data, path: Path, num_images: int = 6) -> None:
    """Draw the first training pictures and the views that the run's plan makes of them, as a PNG."""
    images = data.pretrain.batch(torch.arange(min(num_images, len(data.pretrain))))
    draw_views(images, run.method.views, columns=8, seed=run.seed).save(path)


def draw_pictures_of(
    method: Method, run: RunConfig, data: Data, processor: Processor, folder: Path, num_images: int = 8
) -> None:
    """Draw what the method makes of the first test pictures, a PNG for each of its figures; it is left as it was."""
    index = torch.arange(min(num_images, len(data.test)))
    images = processor.put(data.test.batch(index)).float() / 255.0
    draws = Draws(processor.put(index), run.seed, "pictures")
    with torch.no_grad(), in_eval_mode(method), processor.autocast():
        figures = method.pictures(processor.layout(normalize(images, data.mean, data.std)), draws)
    for name, columns in figures.items():
        folder.mkdir(parents=True, exist_ok=True)
        shown = [(title, denormalize(made.float(), data.mean, data.std).cpu()) for title, made in columns.items()]
        draw_columns(shown, f"{run.method.name}: {name}").save(folder / f"{name}.png")


def draw_tsne(encoder: Encoder, run: RunConfig, data: Data, processor: Processor, path: Path) -> None:
    """Draw test features in two dimensions (t-SNE; van der Maaten, Hinton 2008), coloured by class, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from sklearn.manifold import TSNE  # here, because scikit-learn takes a second to import

    features = extract(encoder, data.test, data, processor, run.evaluation.tsne_images)
    assert features.labels is not None
    x, labels = features.x.cpu().numpy(), features.labels.cpu().numpy()
    perplexity = min(30.0, (len(x) - 1) / 3)
    place = TSNE(init="pca", perplexity=perplexity, random_state=run.seed, max_iter=500).fit_transform(x)
    figure = Figure(figsize=(6.0, 4.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, name in enumerate(data.classes):
        here = labels == number
        axes.scatter(place[here, 0], place[here, 1], s=7, label=name, color=f"C{number % 10}", linewidths=0)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if len(data.classes) <= 20:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, markerscale=2)
    figure.savefig(path, metadata={"Software": None})
