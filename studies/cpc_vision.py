"""Does predicting patches further below teach more than the older tasks of patches, colours and places?

Why it matters: CPC was the first to ask for what is predictable over a distance, in any kind of data, and not for a
puzzle made for pictures.
Source: van den Oord, Li, Vinyals (2018), arXiv:1807.03748, table 3.
Expected: with one network, from exemplars over relative position and colouring to CPC, which is far ahead; with an
older one, from relative position over colouring to jigsaw puzzles.
Cost: laptop 15 runs. Nobody has timed them, nor the other profiles.

The columns are two networks (AlexNet's conv5 and a ResNet v2); here one encoder stands for both. Telling objects by how
they move needs films, and is not among the rows.
"""

from unlabeled.platform.study import Study
from unlabeled.studies.tables import Column
from unlabeled.studies.tasks import INNATE, PAINTING, PREDICTION, TASKS

RESNET = {
    "exemplars": "Exemplar",
    "relative position": "Relative Position",
    "colorization": "Colorization",
    "CPC": "CPC",
}
ALEXNET = {
    "relative position": "Relative Position",
    "colorization": "Colorization",
    "jigsaw": "Jigsaw",
}
NEWER, OLDER = (
    Column(
        "cpc_vision",
        "top1",
        {row: {"backbone": backbone, "method": method} for row, method in methods.items()},
    )
    for backbone, methods in (("ResNet-V2", RESNET), ("AlexNet conv5", ALEXNET))
)
KNOWN = {**INNATE, **PAINTING, **PREDICTION}

STUDY = Study(
    name="cpc-vision",
    question="Does predicting patches further below teach more than the older tasks of patches, colours and places?",
    source=NEWER.source,
    expected="From exemplars over relative position and colouring to CPC, far ahead.",
    cost="15 runs, nobody has timed them",
    profiles=TASKS,
    rows={row: KNOWN[row] for row in dict.fromkeys((*RESNET, *ALEXNET))},
    also=("untrained/linear/top1",),
    published=(NEWER.beside(note="ResNet v2"), OLDER.beside(note="AlexNet's conv5")),
    claims=(
        NEWER.claim("CPC beats colouring.", "CPC", "colorization"),
        NEWER.claim("CPC beats telling where patches lie.", "CPC", "relative position"),
        NEWER.claim("CPC beats exemplars.", "CPC", "exemplars"),
        NEWER.rising("With one network, the tasks got better in this order.", *RESNET),
        OLDER.claim("Jigsaw puzzles beat telling where two patches lie.", "jigsaw", "relative position"),
        OLDER.claim("Jigsaw puzzles beat colouring.", "jigsaw", "colorization"),
        OLDER.rising("With an older network, the tasks got better in this order.", *ALEXNET),
    ),
)
