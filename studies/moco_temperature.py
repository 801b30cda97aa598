"""How much of the MLP head's gain in MoCo v2 is the temperature's?

Why it matters: version 2 brings a head and a temperature that suits it; any one temperature favours one of the heads.
Source: Chen, Fan, Girshick, He (2020), arXiv:2003.04297, sec. 3, the table of temperatures.
Expected: the linear head does best at low temperatures, the MLP head at a higher one, and beats the linear one at each.
Cost: laptop 36 runs. Nobody has timed it, nor the other profiles.

As in the table there is no blur, and the schedule falls in steps: all but head and temperature is version 1.
"""

from unlabeled.platform.augment import MOCO_V1, MOCO_V1_SMALL, two_views
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import MOCO_RUN, changed
from unlabeled.studies.tables import Column, gap_against

TEMPERATURES = ("0.07", "0.1", "0.2", "0.3", "0.4", "0.5")
CASES = {
    f"{head}, {temperature}": {"mlp": mlp, "temperature": temperature}
    for head, mlp in (("linear", "0"), ("MLP", "1"))
    for temperature in TEMPERATURES
}
TABLE = Column("moco_v2_temperature", "imagenet_acc", CASES)
LOW, HIGH = ("MLP, 0.07", "linear, 0.07"), ("MLP, 0.2", "linear, 0.2")


def rows(head: tuple[int, ...]) -> dict[str, dict[str, object]]:
    """Return the table's cases for a scale."""
    return {
        row: {
            "method.head": head if cells["mlp"] == "1" else head[-1:],
            "method.temperature": float(cells["temperature"]),
        }
        for row, cells in CASES.items()
    }


VERSION_1 = changed(MOCO_RUN, {"method.views": two_views(MOCO_V1_SMALL), "optimizer.schedule": "steps"})

STUDY = Study(
    name="moco-temperature",
    question="How much of the MLP head's gain in MoCo v2 is the temperature's?",
    source=TABLE.source,
    expected="The linear head does best at low temperatures, the MLP head at a higher one, and beats it at each.",
    cost="36 runs, nobody has timed them",
    profiles={**VERSION_1, "cluster": VERSION_1["cluster"].with_field("method.views", two_views(MOCO_V1))},
    rows=rows((256, 128)),
    scaled={"workstation": rows((512, 128)), "cluster": rows((2048, 128))},
    published=(TABLE.beside(),),
    claims=(
        TABLE.claim("At version 1's temperature, the MLP head beats the linear one.", *LOW),
        TABLE.claim("At version 2's temperature, too.", *HIGH),
        TABLE.claim("The MLP head gains from version 2's temperature.", "MLP, 0.2", "MLP, 0.07"),
        TABLE.claim("The linear head loses by it.", "linear, 0.07", "linear, 0.2"),
        TABLE.claim("It can be too high for the MLP head, too.", "MLP, 0.2", "MLP, 0.5"),
        Claim(
            statement="The head gains more at version 2's temperature than at version 1's.",
            kind="difference of differences",
            higher=HIGH[0],
            lower=HIGH[1],
            than=LOW,
            **gap_against(*(TABLE[row] for row in (*HIGH, *LOW))),
        ),
    ),
)
