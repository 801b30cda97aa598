"""Do more negatives tighten the bound on mutual information?

Why it matters: InfoNCE bounds the information that two views share from below by log N - L, so it can never show more
than log N, however good the features are.
Source: van den Oord, Li, Vinyals (2018), arXiv:1807.03748, sec. 2.3.
Expected: the bound grows with the number N of candidates; whether the features do is another question.
Cost: laptop 9 runs, about 5 minutes on two cores. Nobody has timed the other profiles.

The bound asks for negatives drawn independently of the query. At the smaller scales the queue is longer than the data
set (8,192 keys of 5,000 pictures, 65,536 of 50,000), so it holds keys of the query's own picture and is no such sample:
what is logged there is log N - L, and no strict bound.
"""

from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import MOCO_RUN
from unlabeled.studies.tables import said

BOUND = "contrast/mutual_information_bound"
TIGHTER = said("bound")

STUDY = Study(
    name="negatives-and-mutual-information",
    question="Do more negatives tighten the bound on mutual information?",
    source=TIGHTER["source"],
    expected="The bound grows with the number N of candidates; whether the features do is another question.",
    cost="9 runs, about 5 minutes on two cores, at laptop scale",
    profiles=MOCO_RUN,
    rows={"few": {"method.queue": 512}, "some": {"method.queue": 2048}, "many": {"method.queue": 8192}},
    scaled={
        profile: {"few": {"method.queue": 1024}, "some": {"method.queue": 8192}, "many": {"method.queue": 65_536}}
        for profile in ("workstation", "cluster")
    },
    measure=BOUND,
    also=("test/linear/top1",),
    claims=(Claim(statement="The more negatives, the tighter the bound.", order=("few", "some", "many"), **TIGHTER),),
)
