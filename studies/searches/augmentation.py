"""Which augmentations, how strong and how often, suit contrastive learning on small grey pictures?

Why it matters: views decide what a contrastive method may ignore, and the papers' are for colour photographs.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 3 and fig. 5; Tian et al. (2020),
arXiv:2005.10243, on views that share neither too much nor too little.
Expected: crops with a change of brightness and contrast; blur, noise and cutout matter less.
Cost: laptop 40 trials of at most 50 s, pruned ones of about 10 s, and 12 runs of 50 s for the winner: about 18 minutes
on two cores.
"""

from unlabeled.platform.augment import ColorJitter, Crop, Cutout, Flip, GaussianBlur, GaussianNoise
from unlabeled.platform.config import RunConfig
from unlabeled.platform.search import Composition, Constraint, Part, Search, Uniform
from unlabeled.studies.projection_head import STUDY as PROJECTION_HEAD


def changes_something(run: RunConfig) -> bool:
    """Tell whether the views differ from the picture at all."""
    return any(view.policy.ops for view in run.method.views.views)


SEARCH = Search(
    name="augmentation",
    question="Which augmentations, how strong and how often, suit contrastive learning on small grey pictures?",
    source="Chen et al. 2020, arXiv:2002.05709, sec. 3; Tian et al. 2020, arXiv:2005.10243",
    expected="Crops with a change of brightness and contrast; blur, noise and cutout matter less.",
    cost="40 trials and 12 runs for the winner, about 18 minutes on two cores, at laptop scale",
    profiles={"laptop": PROJECTION_HEAD.profiles["laptop"]},
    space={
        "method.views": Composition(
            parts=(
                Part(op=Crop(), vary={"strength": Uniform(low=0.2, high=0.95), "p": Uniform(low=0.2, high=1.0)}),
                Part(op=Flip()),
                Part(op=ColorJitter(), vary={"strength": Uniform(low=0.1, high=1.2), "p": Uniform(low=0.2, high=1.0)}),
                Part(op=GaussianBlur(), vary={"strength": Uniform(low=0.5, high=2.0), "p": Uniform(low=0.2, high=1.0)}),
                Part(op=GaussianNoise(), vary={"strength": Uniform(low=0.02, high=0.2)}),
                Part(op=Cutout(), vary={"strength": Uniform(low=0.1, high=0.6), "p": Uniform(low=0.2, high=1.0)}),
            )
        )
    },
    constraints=(Constraint(sentence="At least one operation is in.", holds=changes_something),),
    trials=40,
)
