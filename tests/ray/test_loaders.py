"""Batches that are read on another node of a real cluster: the numbers of one that reads by itself."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray
import torch
from patience import wait_until
from PIL import Image
from ray.cluster_utils import Cluster
from torch import Tensor

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.augment import SIMCLR_SMALL, two_views
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.data.threads import loader_threads
from unlabeled.platform.drive.loaders import Loaders
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.drive.room import check_room, nodes
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.ahead import reading_elsewhere
from unlabeled.platform.train.loaded import data_of
from unlabeled.platform.train.loop import Training

STEPS = 28
LOST_AT = 12


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A node that trains, whose core is taken, and one beside it."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def run_of(folder: Path) -> RunConfig:
    luck = np.random.default_rng(2)
    for number in range(160):
        height, width = luck.integers(20, 50, 2)
        Image.fromarray(luck.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / f"{number:03}.jpg")
    return RunConfig(
        method=SimCLRConfig(views=two_views(SIMCLR_SMALL), head=(16, 8)),
        data=DataConfig(name=f"folder:{folder}", image_px=16),
        encoder=ConvNetConfig(width=4),
        batch_size=16,
        epochs=4,
        precision="fp32",
    )


def loader_processes() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "_Loader" in " ".join(child.cmdline()):
                found.append(child)
    return found


def state_of(training: Training) -> dict[str, Tensor]:
    return {**training.method.state_dict(), "loss": training.meter.sums["train/loss"]}


def test_another_node_reads_and_when_it_is_lost_this_one_does(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, processor = run_of(tmp_path), Processor(torch.device("cpu"), "fp32")
    data = data_of(run)
    alone = Training(run, data, processor)
    assert alone.total_steps == STEPS
    for _ in alone.steps():
        pass

    check_room(Resources(loaders=2), nodes())  # the other node has room for one
    (other,) = cluster.worker_nodes
    there: list[Loaders] = []

    def start(run: RunConfig, data: Data, rows: Tensor) -> Loaders:
        there.append(Loaders(run, data, rows, count=2))
        return there[0]

    training = Training(run, data, processor)
    with loader_threads(1), reading_elsewhere(start):
        for step in training.steps():
            if step < LOST_AT:  # so that it is asked again and again
                wait_until(lambda: there[0].is_ready, lambda: "no loader is ready")
            if step == LOST_AT:
                (process,) = loader_processes()
                cluster.remove_node(other, allow_graceful=False)
                wait_until(lambda process=process: not process.is_running())  # it ends a moment after its node
    here = ray.get_runtime_context().get_node_id()
    assert here not in there[0].read_on
    assert list(there[0].read_on) == [other.node_id]
    assert 3 <= there[0].read_on.total() < STEPS
    assert [record.message for record in caplog.records if "a loader was lost" in record.message], caplog.messages
    assert len([each for each in caplog.messages if "a loader was lost" in each]) == 1, "said once"
    ours, theirs = state_of(training), state_of(alone)
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_loaders_need_another_node() -> None:
    with pytest.raises(UserError, match="cores of other nodes, and the cluster has one node; leave --loaders out"):
        check_room(Resources(loaders=1), [{"CPU": 4.0}])
