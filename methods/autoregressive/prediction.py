"""What CPC learns by, on pictures and on sounds: a context, what it predicts further on, and the choice among many.

Van den Oord, Li, Vinyals (2018), "Representation Learning with Contrastive Predictive Coding", arXiv:1807.03748.
Scores: eq. 3. Loss: eq. 4. The methods are :mod:`cpc` and :mod:`cpc_sound`.

Shapes: B images per worker, R rows and L columns of patches, N patches of all workers, D features of a patch, C width
of the context, V predictions of one step. A sound is one column, and its moments are the rows.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from unlabeled.methods.losses.chunked import choose_positive
from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.platform.augment.figure import Figure, spectrogram
from unlabeled.platform.collective import gather, row_ids
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, EmbeddingMethod, StepResult

choose = in_full_precision(choose_positive)


class CPC(EmbeddingMethod):
    """An encoder of patches or moments, a GRU over their rows, and a linear prediction for each step."""

    def __init__(self, encoder: Encoder, num_steps: int, context: int) -> None:
        super().__init__(encoder)
        self.gru = nn.GRU(encoder.dim, context, batch_first=True)  # g_ar
        steps = range(num_steps)
        self.predict = nn.ModuleList(nn.Linear(context, encoder.dim, bias=False) for _ in steps)  # W_k

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the features z of all patches, [B, R, L, D]."""
        return (rows_of(self.encoder.maps(batch.views[0]).grid),)

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return InfoNCE, mean over steps, and how often each step's right patch beats all other patches."""
        (z_BRLD,) = embeddings
        c_BRLC = contexts(self.gru, z_BRLD)
        predicted = {k: predict(c_BRLC[:, :-k]) for k, predict in enumerate(self.predict, start=1)}  # W_k c_t
        loss, top1, entropy = ahead(predicted, z_BRLD)
        logs = {"contrast/top1": top1.mean(), "contrast/entropy": entropy.mean()}
        logs |= {f"contrast/top1_step{k}": share for k, share in enumerate(top1, start=1)}
        return StepResult(loss=loss.mean(), logs={name: value.detach() for name, value in logs.items()})

    def layers(self) -> Mapping[str, nn.Module]:
        """Return the contexts, mean over places: what the paper's probes of sounds read."""
        return {"context": Context(self.encoder, self.gru)}

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return sounds, and which of their moments is taken for the next one: the brighter, the likelier.

        A row is a moment at which it is asked, the first on top, a column one that it may be: right is the diagonal.
        """
        if batch.views[0].ndim != 3:
            return {}
        (z_BRLD,) = self.embed(batch)
        predicted = self.predict[0](contexts(self.gru, z_BRLD)[:, :-1]).squeeze(2)  # W_1 c_t
        chosen = (predicted.float() @ z_BRLD.squeeze(2)[:, 1:].float().mT).softmax(dim=2)
        chosen = chosen / chosen.amax(dim=2, keepdim=True)
        return {"predictions": Figure({"sound": spectrogram(batch.views[0]), "next moment": chosen[:, None]})}


def ahead(predicted: Mapping[int, Tensor], z_BRLD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each step its loss, how often it is right, and the entropy of its choice: [steps] each.

    Args:
        predicted: how many rows ahead, k -> what is predicted there from all rows but the last k, [B, R - k, L, D].
        z_BRLD: what there is to predict, and to choose from: all of it, on all workers.
    """
    z_ND = gather(z_BRLD).flatten(0, 2)
    place_BRL = row_ids(z_BRLD[..., 0].numel(), z_BRLD.device).view(z_BRLD.shape[:3])
    steps = []
    for k, made in predicted.items():
        right_VD = z_BRLD[:, k:].flatten(0, 2)  # z_t+k
        place_V2 = place_BRL[:, k:].reshape(-1, 1).expand(-1, 2)  # all but the right one are negatives
        steps.append(choose(made.flatten(0, 2), right_VD, z_ND, place_V2))
    loss, top1, entropy = (torch.stack(each) for each in zip(*steps, strict=True))
    return loss, top1, entropy


class Context(nn.Module):
    """What the GRU has seen of pictures or sounds, [B, ...] to [B, C]: the mean of the contexts of all places."""

    def __init__(self, encoder: Encoder, gru: nn.GRU) -> None:
        super().__init__()
        self.encoder, self.gru = encoder, gru

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean context."""
        return contexts(self.gru, rows_of(self.encoder.maps(x).grid)).mean(dim=(1, 2))


def rows_of(grid: Tensor) -> Tensor:
    """Turn a grid [B, D, R, L], or that of sounds [B, D, R], to [B, R, L, D]."""
    return (grid if grid.ndim == 4 else grid[..., None]).permute(0, 2, 3, 1)


def contexts(gru: nn.GRU, z_BRLD: Tensor) -> Tensor:
    """Return [B, R, L, C]: what the GRU has seen of each column down to a row, that row included."""
    batch, rows, columns, _ = z_BRLD.shape
    c: Tensor = gru(z_BRLD.transpose(1, 2).flatten(0, 1))[0]
    return c.view(batch, columns, rows, -1).transpose(1, 2)
