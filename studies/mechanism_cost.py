"""What does each contrastive mechanism cost in memory and time?

Why it matters: negatives are what contrastive learning is made of, and where they come from decides who can afford it:
a queue of earlier keys (MoCo), the batch itself (end to end, as SimCLR), or the batch in micro-batches with cached
gradients, which computes the batch's own gradient.
Source: Chen, Fan, Girshick, He (2020), arXiv:2003.04297, table 3; Gao, Zhang, Han, Callan (2021), arXiv:2101.06983.
Expected: at one batch size MoCo needs less memory and time; a large batch end to end needs many times the memory;
caching takes that back, for embedding everything twice.
Cost: laptop 12 runs, about 4 minutes on two cores; one at a time (--max-concurrent 1), or they slow each other down.
Nobody has timed the other profiles.

The laptop's queue holds as many negatives as its large batch has. Memory on a CPU is what training adds to the process.
"""

from unlabeled.methods.contrastive.moco import MoCoConfig
from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.augment import MOCO_V2, MOCO_V2_SMALL, two_views
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.encoder import TimmConfig
from unlabeled.platform.evaluate import KNN
from unlabeled.platform.optim import SGD
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.tables import Column, said

MEMORY, SECONDS = "system/training_memory_mb", "system/training_seconds"
LIGHT = EvaluationConfig(follow=(), final=(KNN(),), tsne_images=0)
PUBLISHED_ROWS = {
    "MoCo, batch 256": {"mechanism": "MoCo"},
    "end to end, batch 256": {"mechanism": "end-to-end", "batch": "256"},
    "end to end, batch 4096": {"mechanism": "end-to-end", "batch": "4096"},
}
GIGABYTES = Column("mechanism_cost", "memory_gb_per_gpu", PUBLISHED_ROWS)
HOURS = Column("mechanism_cost", "hours_200_epochs", PUBLISHED_ROWS)
SGD_OF_MOCO = SGD(learning_rate=0.03, weight_decay=1e-4)

STUDY = Study(
    name="mechanism-cost",
    question="What does each contrastive mechanism cost in memory and time?",
    source=f"{GIGABYTES.source}; Gao et al. 2021, arXiv:2101.06983",
    expected="MoCo needs less of both than end to end at the same batch; a large batch needs many times the memory, "
    "unless its gradients are cached.",
    cost="12 runs, about 4 minutes on two cores, at laptop scale",
    profiles={
        "laptop": RunConfig(
            method=SimCLRConfig(views=two_views(MOCO_V2_SMALL), temperature=0.2, head=(256, 128)),
            data=DataConfig(name="fashion-mnist-12k", train_images=8192),
            optimizer=SGD_OF_MOCO,
            epochs=2,
            evaluation=LIGHT,
        ),
        "workstation": RunConfig(
            method=SimCLRConfig(views=two_views(MOCO_V2_SMALL), temperature=0.2, head=(512, 128)),
            data=DataConfig(name="cifar10"),
            encoder=TimmConfig(model="resnet18"),
            optimizer=SGD_OF_MOCO,
            epochs=5,
            evaluation=LIGHT,
        ),
        "cluster": RunConfig(
            method=SimCLRConfig(views=two_views(MOCO_V2), temperature=0.2),
            data=DataConfig(name="imagenet"),
            encoder=TimmConfig(model="resnet50"),
            optimizer=SGD_OF_MOCO,
            epochs=1,
            evaluation=LIGHT,
        ),
    },
    rows={
        "MoCo, batch 256": {"batch_size": 256},
        "end to end, batch 256": {"batch_size": 256},
        "end to end, batch 4096": {"batch_size": 4096},
        "end to end, batch 4096, cached": {"batch_size": 4096, "micro_batch": 256},
    },
    scaled={
        "laptop": {
            "MoCo, batch 256": {"method": MoCoConfig(views=two_views(MOCO_V2_SMALL), head=(256, 128), queue=8190)}
        },
        "workstation": {
            "MoCo, batch 256": {"method": MoCoConfig(views=two_views(MOCO_V2_SMALL), head=(512, 128), queue=8190)}
        },
        "cluster": {"MoCo, batch 256": {"method": MoCoConfig()}},
    },
    measure=MEMORY,
    also=(SECONDS,),
    published=(GIGABYTES.beside(), HOURS.beside(SECONDS)),
    claims=(
        GIGABYTES.claim(
            "At the same batch size, MoCo needs less memory than training end to end.",
            "end to end, batch 256",
            "MoCo, batch 256",
        ),
        HOURS.claim(
            "At the same batch size, MoCo needs less time than training end to end.",
            "end to end, batch 256",
            "MoCo, batch 256",
            measure=SECONDS,
        ),
        GIGABYTES.claim(
            "As many negatives from a large batch need more memory than from MoCo's queue.",
            "end to end, batch 4096",
            "MoCo, batch 256",
        ),
        Claim(
            statement="Gradient caching takes the memory of a large batch back.",
            higher="end to end, batch 4096",
            lower="end to end, batch 4096, cached",
            **said("cached-memory"),
        ),
        Claim(
            statement="Gradient caching is paid for in time.",
            higher="end to end, batch 4096, cached",
            lower="end to end, batch 4096",
            measure=SECONDS,
            **said("cached-time"),
        ),
    ),
)
