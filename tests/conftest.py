"""Small runs that many tests share."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("MLFLOW_TRACKING_URI", None)
os.environ.pop("UNLABELED_HOME", None)

import pytest
import torch

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.augment import SIMCLR_SMALL, two_views
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.processor import Processor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).parent))  # for the two plugins
pytest_plugins = ["needs", "order", "pytester"]

torch.set_num_threads(1)
signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # a shell's background job ignores it, and so would our children


@pytest.fixture(scope="session")
def small_run() -> RunConfig:
    """Eight steps of SimCLR in two epochs, a second or two of work."""
    return RunConfig(
        method=SimCLRConfig(views=two_views(SIMCLR_SMALL), head=(32, 16), temperature=0.2),
        data=DataConfig(name="fashion-mnist-12k", train_images=256),
        encoder=ConvNetConfig(width=8),
        epochs=2,
        batch_size=64,
        precision="fp32",  # on every machine
        evaluation=EvaluationConfig(follow_images=100, tsne_images=0),
    )


@pytest.fixture(scope="session")
def small_data() -> Data:
    """The data of ``small_run``."""
    return load(DataConfig(name="fashion-mnist-12k", train_images=256))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow store's file; making one takes seconds, copying it none."""
    from unlabeled.platform.track import Store  # not above: tests on GPUs need no MLflow

    home = tmp_path_factory.mktemp("empty")
    Store(home)
    return home / "mlflow.db"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium, closed before the next module: while it is open, no other event loop can run."""
    from needs import CHROMIUM
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def home(tmp_path: Path, empty_store: Path) -> Path:
    """A home with an empty store."""
    shutil.copy(empty_store, tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def processor() -> Processor:
    """This machine's CPU, computing in float32."""
    return Processor(torch.device("cpu"), "fp32")
