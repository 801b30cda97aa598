"""Which of MoCo v2's changes helps: the MLP head, the stronger augmentation, the schedule, or more epochs?

Why it matters: version 2 is version 1 with three things taken over from SimCLR, and no large batch.
Source: Chen, Fan, Girshick, He (2020), arXiv:2003.04297, table 1.
Expected: the head helps most, then the augmentation; both add up; the schedule adds little, more epochs more.
Cost: laptop 30 runs; 18 of them took 51 minutes on two cores with AVX2. Nobody has timed the other profiles.

Rows with version 1's linear head have its temperature too, so that "the MLP head" is the head at the temperature that
suits it, as in the table; ``moco-temperature`` takes the two apart. (The paper doesn't give (b)'s temperature, but says
that what it doesn't name is as in version 1.) "aug+" is version 1's augmentation with blur, as the paper describes it;
at cluster scale it is the authors' own policy, which weakens the colours as well.
"""

from unlabeled.platform.augment import MOCO_V1, MOCO_V1_BLUR, MOCO_V1_SMALL, MOCO_V2, ViewPlan, two_views
from unlabeled.platform.study import Study
from unlabeled.studies.bases import MOCO_RUN, MOCO_V1_TEMPERATURE
from unlabeled.studies.tables import Column, spread

CASES = {
    "v1": "MoCo v1",
    "MLP head": "(a)",
    "aug+": "(b)",
    "both": "(c)",
    "both, cosine": "(d)",
    "both, cosine, 4x": "(e)",
}
TABLE, *DETECTION = (
    Column("moco_v2_ablation", column, {row: {"case": case} for row, case in CASES.items()}, others=("case",))
    for column in ("imagenet_acc", "voc_ap50", "voc_ap", "voc_ap75")
)
TRIALS = "; ".join(
    f"five trials of {version} gave {spread('moco_v2_trials', 'imagenet_acc', version=version)}"
    for version in ("v1", "v2")
)


def rows(v1: ViewPlan, blurred: ViewPlan, head: tuple[int, ...], epochs: int) -> dict[str, dict[str, object]]:
    """Return the table's cases for a scale."""
    linear = {"method.head": head[-1:], "method.temperature": MOCO_V1_TEMPERATURE}
    plain, aug, steps = {"method.views": v1}, {"method.views": blurred}, {"optimizer.schedule": "steps"}
    return {
        "v1": {**linear, **plain, **steps},
        "MLP head": {"method.head": head, **plain, **steps},
        "aug+": {**linear, **aug, **steps},
        "both": {"method.head": head, **aug, **steps},
        "both, cosine": {"method.head": head, **aug, "optimizer.schedule": "cosine"},
        "both, cosine, 4x": {"method.head": head, **aug, "optimizer.schedule": "cosine", "epochs": 4 * epochs},
    }


SMALL = two_views(MOCO_V1_SMALL), two_views(MOCO_V1_BLUR)

STUDY = Study(
    name="moco-ablation",
    question="Which of MoCo v2's changes helps: the MLP head, the stronger augmentation, the schedule, or more epochs?",
    source=TABLE.source,
    expected="The head helps most, then the augmentation; both add up; the schedule adds little, more epochs more.",
    cost="30 runs, of which 18 took 51 minutes on two cores with AVX2",
    profiles=MOCO_RUN,
    seeds=(0, 1, 2, 3, 4),
    rows=rows(*SMALL, (256, 128), MOCO_RUN["laptop"].epochs),
    scaled={
        "workstation": rows(*SMALL, (512, 128), MOCO_RUN["workstation"].epochs),
        "cluster": rows(two_views(MOCO_V1), two_views(MOCO_V2), (2048, 128), MOCO_RUN["cluster"].epochs),
    },
    published=(TABLE.beside(note=TRIALS), *(column.beside() for column in DETECTION)),
    claims=(
        TABLE.claim("The MLP head alone improves on version 1.", "MLP head", "v1"),
        TABLE.claim("The stronger augmentation alone improves on version 1.", "aug+", "v1"),
        TABLE.claim("The head helps more than the augmentation.", "MLP head", "aug+"),
        TABLE.claim("The augmentation adds to the head.", "both", "MLP head"),
        TABLE.claim("The head adds to the augmentation.", "both", "aug+"),
        TABLE.claim("The cosine schedule adds to both.", "both, cosine", "both"),
        TABLE.claim("Four times the epochs add to all of it.", "both, cosine, 4x", "both, cosine"),
    ),
)
