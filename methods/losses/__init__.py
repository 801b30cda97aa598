"""Contrastive losses as plain functions on tensors, usable alone.

Each takes floating tensors and returns the mean over its anchors, a scalar. Each computes in float32 for half-precision
inputs, also under autocast, and keeps float64; call backward outside autocast, as torch advises, or the gradient is
half-precise. Those that compare the whole batch take positives and negatives from all workers, with exact gradients.
Gradients are finite for finite inputs of any sensible size; NaN stays visible in the loss. Wrong arguments raise
ValueError.

| file       | the anchor's positives and negatives     | functions                                         |
|------------|------------------------------------------|---------------------------------------------------|
| `views`    | the image's other view; all other images | nt_xent, nt_logistic, margin_triplet              |
| `given`    | handed over with the anchor              | contrastive_pair, triplet, n_pair, info_nce, nce  |
| `labelled` | its class; all other classes             | lifted_structured, soft_nearest_neighbor, sup_con |
| `mining`   | the choice of one negative among many    | hardest_negatives, semi_hard_negatives            |
"""

from unlabeled.methods.losses.contrast import Contrast
from unlabeled.methods.losses.given import contrastive_pair, info_nce, info_nce_with_top1, n_pair, nce, triplet
from unlabeled.methods.losses.labelled import lifted_structured, soft_nearest_neighbor, sup_con
from unlabeled.methods.losses.mining import Mined, Mining, hardest_negatives, semi_hard_negatives
from unlabeled.methods.losses.views import margin_triplet, nt_logistic, nt_xent, nt_xent_with_top1

__all__ = [
    "Contrast",
    "Mined",
    "Mining",
    "contrastive_pair",
    "hardest_negatives",
    "info_nce",
    "info_nce_with_top1",
    "lifted_structured",
    "margin_triplet",
    "n_pair",
    "nce",
    "nt_logistic",
    "nt_xent",
    "nt_xent_with_top1",
    "semi_hard_negatives",
    "soft_nearest_neighbor",
    "sup_con",
    "triplet",
]
