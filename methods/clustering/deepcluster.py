"""DeepCluster: cluster the pictures by what the network makes of them, learn to tell the clusters, and again.

Caron, Bojanowski, Joulin, Douze (2018), "Deep Clustering for Unsupervised Learning of Visual Features",
arXiv:1807.05520. In turn, epoch by epoch (eq. 1 and 2, sec. 3.2 and 3.3, facebookresearch/deepcluster):

    x_n = unit(PCA-whitened f(clean picture n))            of all N pictures
    y_n = the nearest of K centres of the x, by k-means
    minimise over f and W    1/N sum_n N / (K |cluster y_n|) -log softmax(W f(view n))[y_n]

The weights are those that drawing all clusters equally often comes to (sec. 3.3); without them nearly all pictures
could end in a few clusters. A cluster that k-means left empty gets a part of another. Clusters are numbered anew each
time, so W begins anew each epoch.

Shapes: B images per worker, N in the data, K clusters, D width.

Differs from the paper: the encoder is any and sees colours, theirs sees Sobel-filtered grey; what is clustered are its
features, theirs are a further layer's; clusters are weighed, not drawn. An empty cluster takes the half of a random
picture's cluster that lies on the picture's side of its mean, where theirs shifts its centre at random.
Differs from the authors' code: k-means begins as k-means++ and goes on until it stands still, theirs for 20 steps from
random pictures; the optimiser remembers the last epoch's W; there is no dropout.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.clustering.assignment import agreement, clustered, whitened
from unlabeled.methods.clustering.shown import where_it_looks
from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.methods.parts import SMALL, one_view
from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.collective import of_first
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult, Survey


class DeepClusterConfig(MethodConfig):
    """Defaults are the paper's for ImageNet.

    Attributes:
        views: one view of each image.
        clusters: K.
        components: how many principal components features keep, at most.
        every: epochs from one clustering to the next; a few hundred steps, or the new W teaches f little but noise.
    """

    name = "deepcluster"
    paper = "Caron et al. 2018, arXiv:1807.05520"
    cost = 1.0
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Crop(area=(0.08, 1.0)), Flip())))
    clusters: int = Field(default=10_000, ge=2)
    components: int = Field(default=256, ge=1)
    every: int = Field(default=1, ge=1)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        small = cls(views=one_view(SMALL), clusters=64, components=32)
        return Example(method=small, learning={"epochs": 16, "method.every": 16})

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where there are more clusters than pictures."""
        if self.clusters > (pictures := len(data.pretrain)):
            few = f"{data.name} has only {pictures} items to train on; use a tenth of that, or less"
            raise UserError(f"method.clusters {self.clusters} is more than there are pictures: {few}")

    def build(self, encoder: Encoder, data: Data) -> "DeepCluster":
        """Make DeepCluster around an encoder, for the data's items."""
        return DeepCluster(self, encoder, len(data.pretrain))


class DeepCluster(Method):
    """An encoder and a linear classifier of clusters.

    Attributes:
        cluster: int64 [N], each item's.
        size: int64 [K], items in each cluster.
        kept: float scalar, the mutual information of these clusters and the last, over their entropy.
    """

    cut = "per-sample"
    cluster: Tensor
    size: Tensor
    kept: Tensor

    def __init__(self, config: DeepClusterConfig, encoder: Encoder, items: int) -> None:
        super().__init__(encoder)
        self.config = config
        self.classifier = nn.Linear(encoder.dim, config.clusters)
        numbers = torch.arange(config.clusters)
        self.register_buffer("cluster", torch.arange(items) % config.clusters)  # before there are any
        self.register_buffer("size", items // config.clusters + (numbers < items % config.clusters).long())
        self.register_buffer("kept", torch.zeros(()))

    def before_epoch(self, epoch: int, survey: Survey) -> None:
        """Cluster all items, and begin the classifier anew."""
        if epoch % self.config.every:
            return
        clusters, order_N = self.config.clusters, survey.draws.uniform("order").argsort(stable=True)
        x_ND = whitened(survey.features(self.encoder), self.config.components)
        own_N = of_first(clustered(x_ND, clusters, order_N))
        self.kept.fill_(agreement(self.cluster, own_N))
        self.cluster.copy_(own_N)
        self.size.copy_(own_N.bincount(minlength=clusters))
        draws = Draws(torch.arange(clusters, device=own_N.device), int(survey.draws.integers("classifier", 2**24)[0]))
        self.classifier.weight.copy_(0.01 * draws.normal("weight", self.encoder.dim))
        self.classifier.bias.zero_()

    def forward(self, batch: Batch) -> StepResult:
        """Return the weighted cross-entropy, and how often the likeliest cluster is the item's."""
        own_B = self.cluster[batch.index]
        logits_BK = self.classifier(self.encoder(batch.views[0]))
        loss_B = in_full_precision(F.cross_entropy)(logits_BK, own_B, reduction="none")
        share_B = (self.size > 0).sum() * self.size[own_B].to(loss_B.dtype) / len(self.cluster)
        loss = (loss_B / share_B).mean()
        top1 = logits_BK.detach().argmax(dim=1).eq(own_B).float().mean()
        return StepResult(loss=loss, logs={"clusters/top1": top1, "clusters/kept": self.kept.clone()})

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return where each picture's cluster is seen in it."""
        return where_it_looks(self.encoder, self.classifier, batch.views[0], "its cluster")
