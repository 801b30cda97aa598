"""RunConfig: one pretraining run, complete. Two runs with equal RunConfigs on equal data are the same run.

How many workers, on which device, how many runs at once is not in it: that is ``Resources``.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from unlabeled.platform.augment import ViewPlan
from unlabeled.platform.data import DataConfig
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig
from unlabeled.platform.evaluate import KNN, FeatureProbe, Linear, ProbeConfig
from unlabeled.platform.evaluate.probe import keys
from unlabeled.platform.evaluate.transformations import Name as Transformation
from unlabeled.platform.method import MethodConfig
from unlabeled.platform.optim import AdamW, OptimizerConfig
from unlabeled.platform.processor import Precision, precision_here
from unlabeled.platform.settings import Settings, Variant


class EvaluationConfig(Settings):
    """What is measured of a run.

    Attributes:
        every_epochs: how often the validation split is looked at during training; the last epoch always is.
        follow_images: how many validation pictures are looked at then, with twice as many training pictures as the bank
            that kNN votes from.
        follow: the probe that is followed, on validation. None follows label-free health alone.
        final: the probes run once at the end: on ``splits``, and where test is one, on test with the encoder untrained.
        layers: further layers that the final probes read: the encoder's blocks (``block1``, ...), and those that the
            method names: ``head``.
        transformations: changes of the pictures that the final probes have to tell, besides the class.
        transfer: further data sets that the final probes are fitted and scored on, each on its own splits, with this
            run's encoder: its output, and classes only. Their pictures are shown as the encoder takes them: at the
            run's size and in its channels.
        splits: which splits the final probes are scored on. Whoever chooses between runs leaves test out.
        tsne_images: how many test pictures the t-SNE picture shows; 0 draws none.
    """

    every_epochs: int = Field(default=1, ge=1)
    follow_images: int = Field(default=500, ge=2)
    follow: FeatureProbe | None = KNN()
    final: tuple[ProbeConfig, ...] = (KNN(), Linear())
    layers: tuple[str, ...] = ()
    transformations: tuple[Transformation, ...] = ()
    transfer: tuple[DataConfig, ...] = ()
    splits: tuple[Literal["validation", "test"], ...] = ("validation", "test")
    tsne_images: int = Field(default=500, ge=0)

    @field_validator("transfer")
    @classmethod
    def _transfer_is_taken_as_given(cls, transfer: tuple[DataConfig, ...]) -> tuple[DataConfig, ...]:
        for data in transfer:
            if data.image_px is not None:
                raise ValueError(
                    f"{data.name} is brought to the run's size, so its image_px {data.image_px} would be ignored; "
                    "leave it out"
                )
        names = [transfer_name(data) for data in transfer]
        if len(set(names)) < len(names):
            raise ValueError(f"its data sets' names in metrics must differ, and are {', '.join(names)}; leave one out")
        return transfer

    def following(self) -> str:
        """Return the identity of what is measured while a run trains."""
        part = EvaluationConfig(every_epochs=self.every_epochs, follow_images=self.follow_images, follow=self.follow)
        return part.digest(without="final")

    @model_validator(mode="after")
    def _no_two_measurements_are_called_the_same(self) -> Self:
        told = [*self.transformations, ""]
        own = [(layer, change) for layer in (*self.layers, "") for change in told]
        read = ["/".join(filter(None, each)) for each in own] + [transfer_name(data) for data in self.transfer]
        names = [f"{of}/{key}".lstrip("/") for of in read for key in self.keys.values()]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f"two measurements would be called {twice[0]}; leave one out")
        if len(set(self.splits)) < len(self.splits):
            raise ValueError(f"splits must differ, got {', '.join(self.splits)}")
        return self

    @property
    def keys(self) -> Mapping[ProbeConfig, str]:
        """What each final probe is called in metrics."""
        return keys(self.final)


def transfer_name(data: DataConfig) -> str:
    """Return a data set's name in metrics; of a folder it is made of the path's last part.

    >>> transfer_name(DataConfig(name="folder:~/pictures/my flowers"))
    'folder-my-flowers'
    """
    kind, is_folder, path = data.name.partition(":")
    if not is_folder:
        return data.name
    return f"{kind}-{re.sub(r'[^A-Za-z0-9._]+', '-', Path(path).name).strip('-')}".rstrip("-")


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


def plain(value: Any) -> Any:
    """Write a field's value as people read it; numbers and truth values stay what they are."""
    if isinstance(value, tuple):
        return ", ".join(str(plain(part)) for part in value) or "none"
    if isinstance(value, ViewPlan):
        return value.summary
    if isinstance(value, Settings):
        fields = ", ".join(f"{k}={plain(v)}" for k, v in value.flat().items() if k != "name")
        name = value.name if isinstance(value, Variant) else type(value).__name__
        return f"{name}({fields})"
    return "none" if value is None else value
