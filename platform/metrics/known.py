"""The metrics that are known: what each is called, its unit, which way is better, what it says."""

from dataclasses import dataclass
from typing import Final, Literal

from unlabeled.platform.metrics.units import BITS, FRACTION, MEGABYTES, NATS, PER_SECOND, PLAIN, SECONDS, Unit

WITHIN_EPOCHS: Final = "steps/loss"  # logged by steps, all others by epochs or once

Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class Metric:
    """What one number is.

    Attributes:
        name: as it is logged, or the end of it: ``health/rankme``, ``linear/top1``, ``top1``.
        unit: how it is written.
        direction: which way is better; None where neither is, or it depends.
        meaning: in a sentence or two, for people.
    """

    name: str
    unit: Unit = PLAIN
    direction: Direction | None = None
    meaning: str = ""


def _score(name: str, meaning: str) -> Metric:
    return Metric(name, FRACTION, "higher", meaning)


def _cost(name: str, unit: Unit, meaning: str) -> Metric:
    return Metric(name, unit, "lower", meaning)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "train/loss",
            direction="lower",
            meaning="The pretraining loss. Rows that differ in loss, temperature or batch size have losses on "
            "different scales.",
        ),
        Metric(WITHIN_EPOCHS, PLAIN, "lower", "The loss within epochs, a mean over the steps since the point before."),
        Metric("train/learning_rate", meaning="The learning rate, a mean over the epoch's steps."),
        Metric("train/gradient_norm", meaning="The length of the gradient before it is clipped."),
        _cost("train/seconds", SECONDS, "The time of an epoch's steps."),
        Metric("train/images_per_second", PER_SECOND, "higher", "Pictures trained on a second, each once a step."),
        _score(
            "contrast/top1",
            "How often the positive is nearest among all keys: how well the pretext task is solved, not how good the "
            "features are.",
        ),
        Metric(
            "distill/spread",
            direction="higher",
            meaning="How much the directions of the teacher's outputs vary over images: 0 is collapse, 1 is even.",
        ),
        Metric("bank/drift", meaning="How far images are from their vectors in the memory bank, squared."),
        Metric("neighbours/close", meaning="How many images are an image's close neighbours."),
        Metric("clusters/kept", meaning="Information that these clusters and the last share, over their entropy."),
        Metric("noise/moved", FRACTION, meaning="The share of images that got another target when last asked."),
        Metric("nats", NATS, meaning="What it costs to tell it."),
        _cost("bits_per_dim", BITS, "A bound on a number of a picture, of 256 levels: 8 is to know nothing."),
        _cost(
            "bits_given_code", BITS, "What a number of a picture costs once its code is known, which is not counted."
        ),
        Metric("tokenizer/in_use", meaning="How many tokens are in use: the exponential of their entropy."),
        _cost("bits_per_token", BITS, "What a token costs, told from those before it."),
        Metric("entropy", NATS, meaning="The entropy of a choice."),
        Metric("mutual_information_bound", NATS, meaning="A lower bound of the information that two views share."),
        Metric(
            "health/rankme",
            direction="higher",
            meaning="RankMe, the effective rank of the features (Garrido et al. 2023); towards 1 is collapse.",
        ),
        Metric(
            "health/deviation",
            direction="higher",
            meaning="Spread of unit features over images (Chen, He 2021): 0 is collapse, 1 is even.",
        ),
        Metric(  # no direction: it is perfect of features that are all the same
            "health/alignment",
            meaning="Mean squared distance of two views of an image (Wang, Isola 2020): 0 is perfect alignment.",
        ),
        Metric(
            "health/uniformity",
            direction="lower",
            meaning="Log potential of unit features (Wang, Isola 2020): 0 is collapse, lower is more even.",
        ),
        _cost("system/wall_seconds", SECONDS, "The time of the whole run, evaluation and checkpoints included."),
        _cost("system/cpu_seconds", SECONDS, "Processor time of the whole run."),
        _cost(
            "system/training_seconds",
            SECONDS,
            "in training steps, their views included; not in evaluation and checkpoints",
        ),
        _cost("system/peak_memory_mb", MEGABYTES, "The most memory that the run took at any time."),
        _cost(
            "system/training_memory_mb",
            MEGABYTES,
            "what the steps after the first add to the process, and the size of weights, gradients and the optimiser's "
            "state (of a GPU: its tensors)",
        ),
        Metric("system/encoder_parameters", meaning="Numbers in the encoder."),
        _cost("search/images_seen", PLAIN, "Pictures trained on until the trial ended."),
        _score("top1", "How often the answer is right."),
        _score("top5", "How often the answer is among the five likeliest."),
        _score("accuracy", "How often the answer is right."),
        _score("knn/top1", "Nearest neighbours on frozen features."),
        _score("linear/top1", "A linear probe on frozen features."),
        Metric("converged", meaning="1 where the solution met its tolerance."),
        _score("kmeans/top1", "The best matching of clusters to classes."),
        Metric("nmi", direction="higher", meaning="Mutual information of clusters and classes, over their entropy."),
        Metric("ari", direction="higher", meaning="The Rand index of clusters and classes; 0 is chance."),
        _score("fine-tune/top1", "The encoder trained further on labels."),
        _score("zero-shot/top1", "The nearest name of a class."),
        _score("classifier/top1", "The method's own classifier."),
        _score("miou", "Intersection over union of each class's pixels, a mean over the classes that are there."),
        _score("segment/accuracy", "How often a pixel's class is right."),
        _score("ap50", "Average precision of boxes that overlap by half, a mean over the classes that are there."),
        _score("jaccard", "Overlap of an object with where it was followed to, as intersection over union."),
        _score("boundary", "How well an object's outline was followed, as the F measure of its boundary."),
        _score("pck", "Points followed to within a tenth of the picture's longer side."),
        _score("frames/top1", "A linear probe of single frames."),
    )
}
