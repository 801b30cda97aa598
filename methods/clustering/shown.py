"""Where in a picture that shows which decides to what it is assigned: a figure that methods of clusters share."""

from collections.abc import Callable

from torch import Tensor

from unlabeled.platform.augment.figure import Figure, heat
from unlabeled.platform.encoder import Encoder


def where_it_looks(
    encoder: Encoder, score: Callable[[Tensor], Tensor], images: Tensor, title: str
) -> dict[str, Figure]:
    """Return pictures, and how much each place speaks for what the whole is assigned to.

    That is the score of the features in that place, less the picture's lowest: class activation maps (Zhou et al. 2016,
    arXiv:1512.04150), where the score is linear. Nothing for encoders whose places have other features than pictures.

    Args:
        encoder: what ``score`` stands on.
        score: of K clusters, [n, K] of features [n, D]; the highest is what a picture is assigned to.
        images: [B, C, H, W].
        title: of the column.
    """
    if encoder.channels != encoder.dim:
        return {}
    pooled, grid, _ = encoder.maps(images)
    own_B = score(pooled).argmax(dim=1)
    scores_PK = score(grid.permute(0, 2, 3, 1).flatten(0, 2))  # of all places of all pictures
    own_P = own_B.repeat_interleave(len(scores_PK) // len(own_B))
    map_Bhw = scores_PK.gather(1, own_P[:, None]).view(len(grid), *grid.shape[2:]).float()
    map_Bhw = map_Bhw - map_Bhw.amin(dim=(1, 2), keepdim=True)
    return {"clusters": Figure({"picture": images, f"where {title} is seen": heat(images, map_Bhw)})}
