"""CMC: which colours belong to which lightness? Two encoders, one for each, must agree on the picture.

Tian, Krishnan, Isola (2019), "Contrastive Multiview Coding", arXiv:1906.05849: with two views, lightness and colour,
and noise-contrastive estimation against memory banks.

A picture in Lab is two views, L and ab. Each has an encoder and a linear head to a vector of length 1, and a memory
bank of these; each is told by what the *other's* bank has of its picture.

    loss = NCE(z_L, bank_ab) + NCE(z_ab, bank_L)
    bank[i] <- unit(m bank[i] + (1 - m) z_i)

NCE tells from K others of the bank (see ``bank.py``), and has a constant Z each way. What one view alone shows is of no
use: features are of what both share. Split-brain autoencoders predict the other half of the channels; here it is
recognised. Probes read both encoders together.

Shapes: B images per worker, K noise samples, D width.

Differs from the paper: none known. Defaults are those of the authors' code (HobbitLong/CMC), whose encoders are halves
of an AlexNet by width, as ours of what is configured; L and ab are brought to about -1 to 1 by 50 and 110, there by the
gamut's ends.
"""

from collections.abc import Mapping
from typing import ClassVar, cast

from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.contrastive.bank import FEW_ITEMS_OFTEN, BankContrast, MemoryBank, retrieved
from unlabeled.methods.cross_channel.lab import LabEncoder, check_colored, halves, rgb_to_lab
from unlabeled.methods.losses.numerics import exact_unit
from unlabeled.methods.parts import SMALL, one_view
from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data, DataConfig, Format
from unlabeled.platform.encoder import Encoder, EncoderConfig
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult

OTHER = {"lightness": "color", "color": "lightness"}


class CMCConfig(MethodConfig):
    """Defaults are those of the authors' code on ImageNet.

    Attributes:
        views: one view of each image, of which both encoders see their channels.
        temperature: tau.
        negatives: K, how many noise samples a vector is told from; None takes the softmax over all images.
        momentum: m, how much of an image's vectors stays in the banks when it is seen again.
        width: D, of the heads' vectors.
    """

    name = "cmc"
    paper = "Tian et al. 2019, arXiv:1906.05849"
    cost = 0.5
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Crop(area=(0.08, 1.0)), Flip())))
    temperature: float = Field(default=0.07, gt=0.0)
    negatives: int | None = Field(default=4096, ge=1)
    momentum: float = Field(default=0.5, ge=0.0, lt=1.0)
    width: int = Field(default=128, ge=1)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        small = cls(views=one_view(SMALL), negatives=128, width=16, temperature=0.2)
        others = {"exact": small.with_field("negatives", None)}
        data = DataConfig(name="emoji", train_images=256)
        return Example(method=small, data=data, others=others, learning={**FEW_ITEMS_OFTEN, "epochs": 10})

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where the pictures are grey."""
        check_colored(self.name, data.channels, data.name)

    def make_encoder(self, config: EncoderConfig, shown: Format) -> Encoder:
        """Make an encoder for L and one for ab, each of half the configured width where it comes in widths."""
        return halves(config, shown, self.name)

    def build(self, encoder: Encoder, data: Data) -> "CMC":
        """Make CMC around an encoder's halves, with banks for the images that train."""
        assert isinstance(encoder, LabEncoder)
        return CMC(self, encoder, len(data.pretrain))


class CMC(EmbeddingMethod):
    """Two halves of an encoder, and for each a head and the bank of all images' vectors."""

    def __init__(self, config: CMCConfig, encoder: LabEncoder, num_images: int) -> None:
        super().__init__(encoder)
        parts = {name: cast(Encoder, part) for name, part in encoder.parts.items()}
        self.heads = nn.ModuleDict({name: nn.Linear(part.dim, config.width) for name, part in parts.items()})
        self.banks = nn.ModuleDict({name: MemoryBank(num_images, config.width, config.momentum) for name in parts})
        self.tell = nn.ModuleDict({name: BankContrast(config.temperature, config.negatives) for name in parts})

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return z_L and z_ab."""
        seen = cast(LabEncoder, self.encoder).seen(rgb_to_lab(batch.views[0]))
        return tuple(exact_unit(self.heads[name](part(x))) for name, (part, x) in seen.items())

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return the sum of both ways, and how often each view finds the other; then let the banks follow."""
        z = dict(zip(self.heads, embeddings, strict=True))
        banks = {name: cast(MemoryBank, bank) for name, bank in self.banks.items()}
        told = {
            name: self.tell[name](z_BD, banks[OTHER[name]].vectors, batch.index, batch.draws.fold_in(name))
            for name, z_BD in z.items()
        }
        for name, z_BD in z.items():
            banks[name].write(batch.index, z_BD)
        loss = told["lightness"][0] + told["color"][0]
        return StepResult(loss=loss, logs={f"{name}/top1": top1 for name, (_, top1) in told.items()})

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return each picture beside those of the others that are nearest by lightness, and by colours."""
        names = (f"nearest-by-{name}" for name in self.heads)
        return {
            name: Figure(retrieved(z_BD, batch.views[0])) for name, z_BD in zip(names, self.embed(batch), strict=True)
        }
