"""What metrics are called where people read: on axes, in legends, in the heads of tables."""

from unlabeled.platform.metrics import unit_of

_PROBES = {
    "linear": "linear probe", "knn": "kNN", "kmeans": "k-means", "fine-tune": "fine-tuning", "zero-shot": "zero-shot",
    "classifier": "own classifier", "segment": "segmentation probe", "detect": "detection probe",
    "frames": "probe of frames", "contrast": "contrastive task",
}  # fmt: skip
_SCORES = {
    "top1": "top-1", "top5": "top-5", "miou": "mean IoU", "ap50": "AP at IoU 0.5", "ari": "adjusted Rand index",
    "nmi": "normalised mutual information", "pck": "correct keypoints",
}  # fmt: skip
_WHOLE = {
    "train/loss": "Pretraining loss",
    "health/rankme": "Effective rank of the features (RankMe)",
    "health/deviation": "Spread of unit features",
    "health/alignment": "Alignment of two views",
    "health/uniformity": "Uniformity of unit features",
    "system/wall_seconds": "Time of the run",
    "system/training_seconds": "Time in training steps",
    "system/peak_memory_mb": "Peak memory",
    "train/images_per_second": "Images per second",
}
_SPLITS = {"test": "test ", "validation": "validation ", "untrained": "untrained, test "}


def title_of(metric: str) -> str:
    """Return what a metric is called in the field.

    >>> title_of("test/linear/top1"), title_of("validation/knn/top1"), title_of("test/head/linear-1pct/top1")
    ('Linear probe, test top-1', 'kNN, validation top-1', 'Linear probe (1pct) of head, test top-1')
    >>> title_of("contrast/entropy"), title_of("my/own_number"), title_of("loss")
    ('Contrastive task: entropy', 'My: own number', 'Loss')
    """
    if metric in _WHOLE:
        return _WHOLE[metric]
    area, *parts = metric.split("/")
    if area not in _SPLITS or len(parts) < 2:
        *of, score = metric.split("/")
        head = ", ".join(_probe(part) for part in of)
        return _capital(f"{head}: {_score(score)}" if of else _score(score))
    *of, probe, score = parts
    whose = f" of {', '.join(of)}" if of else ""
    return _capital(f"{_probe(probe)}{whose}, {_SPLITS[area]}{_score(score)}")


def axis_title(metric: str) -> str:
    """Return the same for an axis: with the unit, where the values on it don't carry it.

    >>> axis_title("test/linear/top1"), axis_title("contrast/entropy")
    ('Linear probe, test top-1', 'Contrastive task: entropy (nats)')
    """
    unit = unit_of(metric)
    return title_of(metric) if unit.is_fraction or not unit.word else f"{title_of(metric)} ({unit.word})"


def _probe(name: str) -> str:
    known = next(
        (one for one in sorted(_PROBES, key=len, reverse=True) if name == one or name.startswith(f"{one}-")), ""
    )
    if not known:
        return name.replace("_", " ")
    return _PROBES[known] + (f" ({name[len(known) + 1 :]})" if name != known else "")


def _score(name: str) -> str:
    return _SCORES.get(name, name.replace("_", " "))


def _capital(text: str) -> str:
    """Make the first letter a capital, unless the word has one already: kNN."""
    first = text.partition(" ")[0].rstrip(",:")
    return text if any(letter.isupper() for letter in first) else text[:1].upper() + text[1:]
