"""Where does a network that makes pictures know what is in them: in which block, and at which noise?

Why it matters: such a network ends with pixels, not with features; whoever wants features has to ask where they are.
Source: Xiang, Yang, Huang, Wang (2023), arXiv:2303.09769, for diffusion; the rest is ours.
Expected: in the middle. In a diffusion network, where the way down ends, at little noise; in image GPT, in its middle
blocks: the last ones are busy with what comes next.
Cost: laptop 12 runs. Nobody has timed them, nor the other profiles.

A linear probe reads each block's mean over the picture. Blocks of the diffusion network differ in width, so that one
with more channels has an advantage; those of image GPT do not. The noise of a picture that is probed is always the
same. An autoencoder and a VAE are beside them: they too learn to make pictures, and their encoders end with features.
"""

from unlabeled.methods.autoregressive.image_gpt import ImageGPTConfig
from unlabeled.methods.generative.ddpm import DDPMConfig
from unlabeled.platform.config import EvaluationConfig
from unlabeled.platform.encoder import ViTConfig
from unlabeled.platform.evaluate import Linear, every
from unlabeled.platform.metrics import OURS
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import FLIPPED
from unlabeled.studies.tables import said
from unlabeled.studies.tasks import PAINTING, TASKS

STEPS, DEPTH = (10, 100, 400), 6
LITTLE, SOME, MUCH = (f"step{step}" for step in STEPS)
PLACES = ("_block1", "_block2", "", "_up1", "_up2", "_up3")  # "" is the end of the way down
NOISED = tuple(f"{step}{place}" for step in (LITTLE, SOME, MUCH) for place in PLACES)
BLOCKS = tuple(f"block{number}" for number in range(1, DEPTH + 1))


def read(layer: str) -> str:
    """Name the metric of a layer."""
    return f"test/{layer}/linear/top1"


def probed(*layers: str) -> EvaluationConfig:
    """Return a linear probe of the encoder's output, and of each of these layers."""
    return EvaluationConfig(final=every((Linear(),), layers=("", *layers)))


STUDY = Study(
    name="generative-features",
    question="Where does a network that makes pictures know what is in them: in which block, and at which noise?",
    source="Xiang et al. 2023, arXiv:2303.09769",
    expected="In the middle: where a diffusion network's way down ends, at little noise; in image GPT's middle blocks.",
    cost="12 runs, nobody has timed them",
    profiles=TASKS,
    rows={
        "diffusion": {
            "method": DDPMConfig(views=FLIPPED, width=64, momentum=0.995, probed=STEPS),
            "evaluation": probed(*NOISED),
        },
        "image GPT": {
            "method": ImageGPTConfig(views=FLIPPED, colors=64),
            "encoder": ViTConfig(width=16, depth=DEPTH),
            "evaluation": probed(*BLOCKS),
        },
        "VAE": PAINTING["VAE"],
        "autoencoder": PAINTING["autoencoder"],
    },
    also=("untrained/linear/top1", *map(read, (*NOISED, *BLOCKS))),
    claims=(
        *(
            Claim(
                statement=f"In a diffusion network, where the way down ends is better than {where}.",
                higher="diffusion",
                lower="diffusion",
                measure=read(LITTLE),
                lower_measure=read(f"{LITTLE}{place}"),
                **said("diffusion-intermediate"),
            )
            for place, where in (("_block1", "its first block"), ("_up3", "its last"))
        ),
        Claim(
            statement="Little noise shows a diffusion network more than much.",
            higher="diffusion",
            lower="diffusion",
            measure=read(LITTLE),
            lower_measure=read(MUCH),
            source=OURS,
        ),
        *(
            Claim(
                statement=f"In image GPT, a middle block is better than {where}.",
                higher="image GPT",
                lower="image GPT",
                measure=read(f"block{DEPTH // 2}"),
                lower_measure=read(block),
                source=OURS,
            )
            for block, where in ((BLOCKS[0], "the first"), (BLOCKS[-1], "the last"))
        ),
        Claim(
            statement="To take noise away teaches more than to copy.",
            higher="diffusion",
            lower="autoencoder",
            source=OURS,
        ),
    ),
)
