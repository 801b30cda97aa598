"""RunConfig: one pretraining run, complete. Two runs with equal RunConfigs on equal data are the same run.

How many workers, on which device, how many runs at once is not in it: that is ``Resources``.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from unlabeled.platform.augment import ViewPlan
from unlabeled.platform.data import DataConfig
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig, Weights
from unlabeled.platform.evaluate import KNN, Corruption, Linear, Measurement, ProbeConfig, names
from unlabeled.platform.method import MethodConfig
from unlabeled.platform.metrics import AREAS
from unlabeled.platform.optim import AdamW, OptimizerConfig
from unlabeled.platform.processor import Precision, precision_here
from unlabeled.platform.settings import Settings, Variant


class EvaluationConfig(Settings):
    """What is measured of a run.

    A probe alone stands for the measurement by it: of the encoder's output, on the run's own data, told by the class.
    :func:`~unlabeled.platform.evaluate.every` lists those of several probes, layers, things to tell and data sets.

    Attributes:
        every_epochs: how often the validation split is looked at during training; the last epoch always is.
        follow_images: how many validation pictures are looked at then, with twice as many training pictures to fit on.
        follow: what is followed, on validation, by probes on frozen features. Label-free health always is.
        final: what is measured once at the end: on ``splits``, and where test is one, on test with the encoder
            untrained.
        splits: which splits are scored at the end. Whoever chooses between runs leaves test out.
        tsne_images: how many test pictures the t-SNE picture shows; 0 draws none.
    """

    every_epochs: int = Field(default=1, ge=1)
    follow_images: int = Field(default=500, ge=2)
    follow: tuple[Measurement, ...] = (Measurement(probe=KNN()),)
    final: tuple[Measurement, ...] = (Measurement(probe=KNN()), Measurement(probe=Linear()))
    splits: tuple[Literal["validation", "test"], ...] = ("validation", "test")
    tsne_images: int = Field(default=500, ge=0)

    @field_validator("follow", "final", mode="before")
    @classmethod
    def _one_stands_for_a_list_of_it(cls, value: Any) -> Any:
        return (value,) if isinstance(value, ProbeConfig | Measurement | Mapping | str) else value

    @field_validator("follow")
    @classmethod
    def _follows_by_features(cls, follow: tuple[Measurement, ...]) -> tuple[Measurement, ...]:
        for each in follow:
            if not each.probe.is_frozen:
                raise ValueError(f"{each.key} scores a whole method, which takes too long to follow; put it into final")
            if each.data is not None or each.shown is not None:
                raise ValueError(f"{each.key} is not of clean validation pictures of the run's data; put it into final")
        return follow

    def following(self) -> str:
        """Return the identity of what is measured while a run trains."""
        part = EvaluationConfig(every_epochs=self.every_epochs, follow_images=self.follow_images, follow=self.follow)
        return part.digest(without="final")

    @model_validator(mode="after")
    def _no_two_measurements_are_called_the_same(self) -> Self:
        names(self.final)
        for name in names(self.follow).values():
            if (area := name.partition("/")[0]) in AREAS:
                raise ValueError(f"what is followed would be called {name}, and {area} is taken; follow another layer")
        if len(set(self.splits)) < len(self.splits):
            raise ValueError(f"splits must differ, got {', '.join(self.splits)}")
        return self

    @property
    def keys(self) -> Mapping[Measurement, str]:
        """What each final measurement is called in metrics."""
        return names(self.final)

    @property
    def followed(self) -> tuple[str, ...]:
        """The metrics that are followed, without health: ``knn/top1``."""
        return tuple(f"{name}/{score}" for each, name in names(self.follow).items() for score in each.probe.scores)

    @property
    def validated(self) -> tuple[str, ...]:
        """The metrics of the validation split that the final measurements give."""
        return tuple(f"validation/{name}/{score}" for each, name in self.keys.items() for score in each.probe.scores)

    @property
    def other_data(self) -> tuple[DataConfig, ...]:
        """The further data sets that something is measured on, each once."""
        of = dict.fromkeys(each.data for each in self.final)
        return tuple(data for data in of if data is not None)


class RunConfig(Settings):
    """One pretraining run.

    Attributes:
        method: what is trained, with its hyperparameters and views.
        data: the pictures.
        encoder: what is pretrained, and probed afterwards.
        optimizer: how.
        epochs: passes over the pretraining pictures; each pass drops the last, incomplete batch.
        batch_size: the global batch, however many workers share it.
        micro_batch: images in memory at a time, over all workers; it divides batch_size. None is the whole batch. The
            gradient is the whole batch's; batch norm, where there is any, sees micro-batches.
        seed: decides weights, order, views and whatever the method draws; of 63 bits.
        precision: "auto" takes bf16 where the processor is fast at it. It is decided before anything else, once for all
            runs of a command, and what it took is part of the run's identity.
        evaluation: what is measured.
    """

    method: MethodConfig
    data: DataConfig = DataConfig()
    encoder: EncoderConfig = ConvNetConfig()
    optimizer: OptimizerConfig = AdamW()
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=256, ge=2)
    micro_batch: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    precision: Precision = "auto"
    evaluation: EvaluationConfig = EvaluationConfig()

    def fingerprint(self, *checksums: str) -> str:
        """Return the run's identity: 16 hexadecimal digits over this configuration and the contents of its data.

        Args:
            checksums: of the data, and of the further data sets that it is probed on.
        """
        return self.resolved().digest(*checksums)

    def training(self, checksum: str) -> str:
        """Return the identity of what is trained: two runs that share it have the same weights, measured otherwise."""
        return self.resolved().digest(checksum, without="evaluation")

    def row(self, *checksums: str) -> str:
        """Return the identity of what the run has in common with the same run over another seed."""
        return self.resolved().digest(*checksums, without="seed")

    def resolved(self) -> Self:
        """Return the run with the precision that "auto" takes in this process."""
        if self.precision != "auto":
            return self
        return self.model_copy(update={"precision": precision_here()})

    def parameters(self) -> dict[str, Any]:
        """Return every field by dotted path as a plain value, for MLflow's parameters."""
        return {path: plain(value) for path, value in self.flat().items()}

    def lists(self) -> dict[str, list[Any]]:
        """Return the fields that are lists, each part as :func:`plain` writes it: as texts two lists may look alike."""
        return {
            path: [plain(part) for part in value] for path, value in self.flat().items() if isinstance(value, tuple)
        }


def plain(value: Any) -> Any:
    """Write a field's value as people read it; numbers and truth values stay what they are."""
    if isinstance(value, tuple):
        return ", ".join(str(plain(part)) for part in value) or "none"
    if isinstance(value, ViewPlan):
        return value.summary
    if isinstance(value, Corruption):
        return value.key
    if isinstance(value, Weights):
        return str(value)
    if isinstance(value, Measurement):
        return f"{plain(value.probe)}{f' ({value.summary})' if value.summary else ''}"
    if isinstance(value, Settings):
        fields = ", ".join(f"{k}={plain(v)}" for k, v in value.flat().items() if k != "name")
        name = value.name if isinstance(value, Variant) else type(value).__name__
        return f"{name}({fields})"
    return "none" if value is None else value
