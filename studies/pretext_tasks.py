"""Which pretext task makes the best features, all under the same linear probe?

Why it matters: every task is a guess at what one has to understand of a picture to solve it.
Source: Gidaris, Singh, Komodakis (2018), arXiv:1803.07728, table 7 gathers the tasks before contrast; Chen et al.
(2020), arXiv:2002.05709, table 6, the contrast after them; van den Oord, Li, Vinyals (2018), arXiv:1807.03748, table 3,
CPC between them.
Expected: contrast of views beats the older tasks and CPC, rotation is the best of these, and labels beat them all. Of
the families (tasks that pictures set by themselves, painting what is missing, telling instances apart, clustering),
the best member is one that tells instances apart.
Cost: laptop 132 runs. Nobody has timed them, nor the other profiles.

All see the same pictures as often, at the same learning rate; the training time beside them is the rest of the price.
What hides patches needs a ViT, the others have the convnet, so those rows compare with their own untrained encoder.

With 13 of the rows, three seeds did not show that jigsaw and DINO beat the untrained encoder (+1.7 points, -5.4 to 8.9,
and +4.1, -0.4 to 8.6), where the intervals of the other eleven lay above zero. A tile of jigsaw is 9 px here, and its
puzzle is solved (a loss of 0.1), presumably by lines that go on from tile to tile. DINO gains late: with twice the
epochs it has +5.7 (3.3 to 8.2). Inpainting in the middle of crops gained nothing either; by random blocks of whole
pictures it does: that, and jigsaw's 16 orders on whole pictures instead of 64 on crops, were chosen on validation.
"""

from unlabeled.platform.metrics import OURS
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.tables import Column, against
from unlabeled.studies.tasks import CLUSTERS, INNATE, INSTANCES, PAINTING, PREDICTION, TASKS, TOLD

MEASURE, START = "test/linear/top1", "untrained/linear/top1"
CASES = {
    "rotation": "RotNet",
    "relative position": "Context (Doersch et al. 2015)",
    "jigsaw": "Jigsaw Puzzles (Noroozi & Favaro 2016)",
    "counting": "Counting (Noroozi et al. 2017)",
    "inpainting": "Context Encoders (Pathak et al. 2016)",
    "colorization": "Colorization (Zhang et al. 2016)",
    "split-brain": "Split-Brain (Zhang et al. 2016)",
    "colour proxy": "ColorProxy (Larsson et al. 2017)",
    "BiGAN": "BIGAN (Donahue et al. 2016)",
    "NAT": "NAT (Bojanowski & Joulin 2017)",
    "labels": "ImageNet labels",
}
METHODS = {row: {"method": method} for row, method in CASES.items()}
UNTRAINED = {"method": "Random rescaled (Krahenbuhl et al. 2015)"}
VOC, VOC_TUNED, VOC_DETECTION, VOC_SEGMENTATION = (
    Column("rotnet_voc", column, METHODS, others=("method",))
    for column in ("cls_fc6_8", "cls_all", "det_map", "seg_miou")
)
VOC_UNTRAINED = Column("rotnet_voc", "cls_fc6_8", dict.fromkeys(CASES, UNTRAINED))
OLDER = Column(
    "cpc_vision",
    "top1",
    {
        "jigsaw": {"method": "Jigsaw"},
        "colorization": {"method": "Colorization", "backbone": "ResNet-V2"},
        "CPC": {"method": "CPC"},
    },
    others=("method", "backbone"),
)
NEWER = Column(
    "simclr_imagenet",
    "top1",
    {
        "rotation": {"method": "Rotation"},
        "SimCLR": {"method": "SimCLR", "architecture": "ResNet-50"},
        "MoCo": {"method": "MoCo", "architecture": "ResNet-50"},
    },
    others=("method", "architecture"),
)
ROWS = {**INNATE, **PAINTING, **PREDICTION, **INSTANCES, **CLUSTERS, **TOLD}
UNTOLD = tuple(row for row in ROWS if row not in TOLD)


def learns(row: str) -> Claim:
    """Claim that a task teaches the encoder something that a linear probe can use, or the contrary, where published."""
    statement = f"Features of {row} beat those of its untrained encoder."
    trained, random = (column[row] if row in CASES else None for column in (VOC, VOC_UNTRAINED))
    if trained is None or random is None or trained.number is None or random.number is None:
        return Claim(statement=statement, source=OURS, higher=row, lower=row, lower_measure=START)
    if trained.number > random.number:
        published = against(trained, random)
        return Claim(statement=statement, higher=row, lower=row, lower_measure=START, **published)
    return Claim(
        statement=f"Features of {row} fall behind those of its untrained encoder.",
        higher=row,
        lower=row,
        measure=START,
        lower_measure=MEASURE,
        **against(random, trained),
    )


STUDY = Study(
    name="pretext-tasks",
    question="Which pretext task makes the best features, all under the same linear probe?",
    source=f"{VOC.source}; {NEWER.source}; {OLDER.source}",
    expected="Contrast of views beats the older tasks and CPC, rotation is the best of these, and labels beat all.",
    cost="132 runs, nobody has timed them",
    profiles=TASKS,
    rows=ROWS,
    measure=MEASURE,
    also=(START, "system/training_seconds", "system/training_memory_mb"),
    published=(
        VOC.beside(),
        NEWER.beside(),
        OLDER.beside(),
        VOC_TUNED.beside(),
        VOC_DETECTION.beside(),
        VOC_SEGMENTATION.beside(),
        VOC_UNTRAINED.beside(START),
    ),
    claims=(
        *(learns(row) for row in ROWS),
        VOC.claim("Telling rotations beats colouring.", "rotation", "colorization"),
        VOC.claim("Telling rotations beats predicting half of the channels.", "rotation", "split-brain"),
        VOC.claim("Telling rotations beats inpainting.", "rotation", "inpainting"),
        VOC_TUNED.claim("Telling rotations beats jigsaw puzzles.", "rotation", "jigsaw"),
        VOC.claim("Colouring beats inpainting.", "colorization", "inpainting"),
        VOC.claim("Labels beat telling rotations.", "labels", "rotation"),
        NEWER.claim("SimCLR beats the best of the older tasks, telling rotations.", "SimCLR", "rotation"),
        NEWER.claim("MoCo beats telling rotations.", "MoCo", "rotation"),
        OLDER.claim("CPC beats colouring.", "CPC", "colorization"),
        Claim(
            statement="CPC falls behind contrast of whole pictures: SimCLR beats it.",
            higher="SimCLR",
            lower="CPC",
            **against(NEWER["SimCLR"], OLDER["CPC"]),
        ),
        VOC.claim("Telling rotations beats telling where patches lie.", "rotation", "relative position"),
        VOC.claim("Telling rotations beats targets that are noise.", "rotation", "NAT"),
        VOC.claim("Telling rotations beats inverting a generator.", "rotation", "BiGAN"),
        Claim(
            statement="Of all that learn from pictures alone, the best tells instances apart.",
            best=tuple(INSTANCES),
            among=UNTOLD,
            source=OURS,
        ),
        Claim(statement="MoCo beats CPC.", higher="MoCo", lower="CPC", **against(NEWER["MoCo"], OLDER["CPC"])),
    ),
)
