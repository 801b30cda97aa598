"""Reading ahead changes no number, ends with what it reads for, and holds no more than it says."""

import io
import os
import runpy
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.augment import SIMCLR_SMALL, Crop, Policy, Stream, View, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import ArrayImages, Data, DataConfig, load
from unlabeled.platform.data.threads import AHEAD, in_threads, loader_threads, read_ahead, reading_with, threads_for
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import extract
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.ahead import read_steps, reading_elsewhere
from unlabeled.platform.train.batches import Batches
from unlabeled.platform.train.events import Event, Failed
from unlabeled.platform.train.execution import execute_safely
from unlabeled.platform.train.loop import NonFiniteLossError, Training
from unlabeled.platform.train.resident import resident
from unlabeled.platform.train.stored import Stored
from unlabeled.platform.train.survey import TrainingSurvey

WORKER = Path(__file__).with_name("batches_worker.py")


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("reader")]


@pytest.fixture(autouse=True)
def _no_reader_is_left() -> Iterator[None]:
    yield
    assert not readers()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEGs of many sizes, of two classes."""
    folder, luck = tmp_path_factory.mktemp("pictures"), np.random.default_rng(5)
    for number in range(96):
        height, width = luck.integers(20, 60, 2)
        file = folder / "ab"[number % 2] / f"{number:02}.jpg"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(luck.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file)
    return folder


@pytest.fixture(scope="module")
def data(pictures: Path) -> Data:
    return load(DataConfig(name=f"folder:{pictures}", image_px=16))


PLAN = ViewPlan(
    views=(Policy(ops=(Crop(size=12), *SIMCLR_SMALL.ops[1:])),) * 2,
    streams={"labelled": Stream(plan=ViewPlan(views=(Policy(ops=(Crop(),)),), targets=("class",)), beside=4)},
)


def run_on(data: Data, **fields: object) -> RunConfig:
    given = {"method": SimCLRConfig(views=PLAN, head=(16, 8)), "encoder": ConvNetConfig(width=4)}
    sizes = {"batch_size": 16, "epochs": 2, "precision": "fp32"}
    return RunConfig.checked(data=DataConfig(name=data.name, image_px=16), **{**given, **sizes, **fields})


def trained(run: RunConfig, data: Data, threads: int, stop: int | None = None) -> dict[str, Tensor]:
    """Train to the end, on so many threads that read, or stop and go on elsewhere; return the state then."""
    processor = Processor(torch.device("cpu"), "fp32")
    with loader_threads(threads):
        training, again = Training(run, data, processor), Training(run, data, processor)
        with closing(training.steps()) as steps:
            for step in steps:
                if threads and step < training.total_steps - AHEAD:
                    assert readers()
                if step == stop:
                    buffer = io.BytesIO()
                    torch.save(training.state(), buffer)
                    break
        if stop is not None:
            again.restore(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
            training = again
            for _ in training.steps():
                pass
    assert training.step == training.total_steps
    return {**training.method.state_dict(), "loss": training.meter.sums["train/loss"]}


@pytest.mark.parametrize("micro_batch", [None, 8])
def test_a_run_is_the_same_however_it_is_read(micro_batch: int | None, data: Data) -> None:
    run = run_on(data, micro_batch=micro_batch)
    direct = trained(run, data, 0)
    for threads, stop in ((1, None), (8, None), (2, 5)):
        ahead = trained(run, data, threads, stop)
        assert all(torch.equal(ahead[name], value) for name, value in direct.items()), (threads, stop)


@pytest.mark.parametrize("micro_batch", [None, 8])
def test_films_companions_and_streams_are_the_same_read_ahead(micro_batch: int | None) -> None:
    worker = runpy.run_path(str(WORKER))
    found = []
    for threads in (0, 3):
        with loader_threads(threads):
            found.append(worker["trained"](micro_batch))
    assert all(torch.equal(found[1][name], value) for name, value in found[0].items())


def test_micro_batches_read_each_item_once_a_step(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = run_on(data, micro_batch=8), []
    read = Batches.read
    monkeypatch.setattr(Batches, "read", lambda self, step, rows=None: asked.append(step) or read(self, step, rows))
    training = Training(run, data, Processor(torch.device("cpu"), "fp32"))
    for _ in training.steps():
        pass
    assert sorted(asked) == list(range(training.total_steps))


class _Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(dim=2)


def test_features_and_surveys_are_the_same_read_ahead(data: Data, processor: Processor) -> None:
    found = []
    for threads in (0, 2):
        with loader_threads(threads):
            survey = TrainingSurvey(data.train, processor, Draws(data.train.rows, 0))
            features = extract(_Mean(), data.train, processor)
            found.append((features.x, features.labels, survey.features(_Mean())))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


# ---- how far, and how many ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("threads", "elsewhere"), [(1, 0), (2, 0), (7, 0), (1, 3), (0, 2)])
def test_it_reads_in_order_and_no_further_than_it_says(threads: int, elsewhere: int) -> None:
    begun: list[int] = []
    together: list[int] = []
    lock = threading.Lock()
    working = 0

    def read(number: int) -> int:
        nonlocal working
        with lock:
            begun.append(number)
            working += 1
            together.append(working)
        time.sleep(0.002)
        with lock:
            working -= 1
        return number

    for wanted, got in enumerate(read_ahead(read, range(40), threads, elsewhere=elsewhere)):
        assert got == wanted
        time.sleep(0.001)
        assert max(begun) <= wanted + AHEAD + elsewhere
    assert sorted(begun) == list(range(40)), "each once"
    assert max(together) <= min(threads, AHEAD) + elsewhere


def test_with_no_threads_each_is_read_when_it_is_needed_by_who_needs_it() -> None:
    begun: list[int] = []
    for wanted, got in enumerate(read_ahead(lambda n: begun.append(n) or threading.get_ident(), range(3), 0)):
        assert got == threading.get_ident()
        assert begun == list(range(wanted + 1))


def test_threads_share_the_work_on_a_batch() -> None:
    def threads_of(_: int) -> int:
        with_barrier = threading.Barrier(4, timeout=30)  # passed only by four at once
        return len(set(in_threads(lambda _: with_barrier.wait() * 0 + threading.get_ident(), range(4))))

    assert list(read_ahead(threads_of, range(2), 8)) == [4, 4]
    with reading_with(1):
        assert set(in_threads(lambda _: threading.get_ident(), range(4))) == {threading.get_ident()}


def test_how_many_threads_read_goes_by_the_device_and_where_data_lie() -> None:
    cpu, gpu, before = torch.device("cpu"), torch.device("cuda"), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert [threads_for(cpu, in_memory=each) for each in (True, False)] == [0, 0]
        assert [threads_for(gpu, in_memory=each) for each in (True, False)] == [2, 2]
        torch.set_num_threads(1)
        assert threads_for(gpu, in_memory=False) == 1
        assert [threads_for(cpu, in_memory=each) for each in (True, False)] == [0, 1]
        with loader_threads(5):
            assert {threads_for(each, in_memory=True) for each in (cpu, gpu)} == {5}
            with loader_threads(None):
                assert threads_for(cpu, in_memory=True) == 0
    finally:
        torch.set_num_threads(before)


def test_readers_leave_the_threads_of_whoever_they_read_for_as_they_are() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        seen = [list(in_threads(lambda _: torch.get_num_threads(), range(3)))]
        seen += read_ahead(lambda _: [torch.get_num_threads()], range(3), 2)
        assert {each for some in seen for each in some} == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_pictures_in_memory_are_not_read_ahead(small_run: RunConfig, small_data: Data, data: Data) -> None:
    processor = Processor(torch.device("cpu"), "fp32")
    assert Batches(small_run, small_data, processor).is_in_memory
    assert not Batches(run_on(data), data, processor).is_in_memory
    resized = load(DataConfig(name="fashion-mnist-12k", train_images=64, image_px=14))
    assert not resized.train.is_in_memory("image"), "resizing is work"
    assert resized.train.is_in_memory("class")
    with pytest.raises(UserError, match="depth"):
        resized.train.is_in_memory("depth")


# ---- kept on the device ------------------------------------------------------------------------------------------


class Roomy(Processor):
    """A processor on which there is room for small pictures."""

    room_for_data = 256 * 28 * 28


class Poor(Processor):
    """One where a byte is missing."""

    room_for_data = 256 * 28 * 28 - 1


@pytest.mark.parametrize("micro_batch", [None, 32])
def test_pictures_that_live_on_the_device_make_the_same_batches(
    micro_batch: int | None, small_data: Data, small_run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = ViewPlan(
        views=(SIMCLR_SMALL, View(of=1)),
        streams={"labelled": Stream(plan=ViewPlan(views=(SIMCLR_SMALL,), targets=("class",)), beside=4)},
    )
    run = small_run.with_field("method", SimCLRConfig(views=plan)).with_field("micro_batch", micro_batch)
    cpu, asked, read = torch.device("cpu"), [], ArrayImages.read
    beside, apart = (Batches(run, small_data, kind(cpu, "fp32")) for kind in (Roomy, Poor))
    monkeypatch.setattr(ArrayImages, "read", lambda *given: asked.append(given) or read(*given))
    made = beside(3)
    assert not asked
    expected = apart(3)
    assert asked
    for found in (made, beside.make(apart.read(3))):
        for here, there in ((found, expected), (found.streams["labelled"], expected.streams["labelled"])):
            assert all(torch.equal(a, b) for a, b in zip(here.views, there.views, strict=True))
            assert torch.equal(here.index, there.index)
    assert torch.equal(beside(3, torch.arange(8, 16)).views[1], expected.views[1][8:16])


def test_only_pictures_in_memory_live_on_the_device(data: Data, small_data: Data) -> None:
    roomy = Roomy(torch.device("cpu"), "fp32")
    assert resident(data.pretrain, ["image"], roomy) == {}
    assert list(resident(small_data.pretrain, ["image", "class"], roomy)) == ["image"]
    assert Processor(torch.device("cpu"), "fp32").room_for_data == 0


# ---- how it ends -------------------------------------------------------------------------------------------------


def test_a_damaged_file_ends_the_run_in_the_step_that_needs_it(data: Data, pictures: Path, tmp_path: Path) -> None:
    run, processor = run_on(data), Processor(torch.device("cpu"), "fp32")
    order = Batches(run, data, processor)
    lost = data.pretrain.of("image").paths[int(order(3).index[5])]  # type: ignore[attr-defined]
    before = [step for step in range(3) if lost in {order_of(data, order, step, row) for row in range(16)}]
    file, content = pictures / lost, (pictures / lost).read_bytes()
    messages = []
    try:
        file.write_bytes(content[:200])
        for threads in (0, 2):
            with loader_threads(threads):
                training = Training(run, data, processor)
                with pytest.raises(UserError) as caught:
                    for _ in training.steps():
                        pass
            assert training.step == 3
            messages.append(str(caught.value))
    finally:
        file.write_bytes(content)
    assert not before, "no step before needs it"
    assert messages[0] == messages[1]
    assert lost.split("/")[1] in messages[0]
    assert "\n" not in messages[0]


def order_of(data: Data, batches: Batches, step: int, row: int) -> str:
    return data.pretrain.of("image").paths[int(batches(step).index[row])]  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("error", [NonFiniteLossError("NaN"), KeyboardInterrupt(), RuntimeError("lost")])
def test_threads_end_with_a_run_that_fails(error: BaseException, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    run, processor = run_on(data), Processor(torch.device("cpu"), "fp32")
    with loader_threads(2):
        training = Training(run, data, processor)

        def fail() -> None:
            assert readers()
            raise error

        monkeypatch.setattr(training, "_check_finite", fail)
        with pytest.raises(type(error)):
            for _ in training.steps():
                pass
        assert not readers()


def test_threads_end_with_a_run_whose_report_fails(data: Data, tmp_path: Path) -> None:
    told: list[Event] = []
    reading: list[str] = []

    def report(event: Event) -> None:
        told.append(event)
        if len(told) == 2:
            reading.extend(readers())
            raise RuntimeError("nobody listens")

    with loader_threads(2):
        execute_safely(run_on(data, epochs=3), tmp_path, 0, report)
    assert reading
    assert isinstance(told[-1], Failed)
    assert "nobody listens" in str(told[-1])
    assert not readers()


def test_a_forked_process_reads_ahead_too(data: Data) -> None:
    """Beside threads of this process, of which a forked one has none."""
    with closing(read_ahead(lambda rows: data.train.tensor(rows, "image"), data.train.rows.split(8), 2)) as found:
        expected = next(found)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the threads, which are what is tried here
            child = os.fork()
        if child == 0:
            again = read_ahead(lambda rows: data.train.tensor(rows, "image"), data.train.rows.split(8), 2)
            os._exit(0 if torch.equal(next(again), expected) else 1)
        assert os.waitpid(child, 0)[1] == 0


# ---- elsewhere ---------------------------------------------------------------------------------------------------


class Others:
    """Others that read every step but some, from which on they are lost."""

    places = 2

    def __init__(self, batches: Batches, lost: range) -> None:
        self.batches, self.lost, self.read, self.closed = batches, lost, [], False

    def __call__(self, step: int) -> Stored | None:
        if step in self.lost:
            return None
        self.read.append(step)
        return self.batches.read(step)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("threads", [0, 1])
def test_what_others_do_not_read_is_read_here(threads: int, data: Data) -> None:
    run, processor = run_on(data), Processor(torch.device("cpu"), "fp32")
    batches = Batches(run, data, processor)
    others = Others(batches, range(4, 7))
    with loader_threads(threads), reading_elsewhere(lambda run, data, rows: others):
        found = trained(run, data, threads)
    assert {0, 1, 2, 3, 7} <= set(others.read)
    assert others.closed
    assert all(torch.equal(found[name], value) for name, value in trained(run, data, 0).items())


def test_who_has_nothing_left_to_train_asks_nobody_to_read(data: Data) -> None:
    run, asked = run_on(data), []
    training = Training(run, data, Processor(torch.device("cpu"), "fp32"))
    training.step = training.total_steps
    with reading_elsewhere(lambda *given: asked.append(given)):  # type: ignore[arg-type, func-returns-value]
        assert not list(training.steps())
    assert not asked


def test_what_is_read_can_travel(data: Data) -> None:
    import pickle

    batches = Batches(run_on(data), data, Processor(torch.device("cpu"), "fp32"))
    (stored,) = read_steps(batches, range(1), Processor(torch.device("cpu"), "fp32"))
    travelled = batches.make(pickle.loads(pickle.dumps(stored)))
    here = batches.make(stored)
    for a, b in zip(travelled.views, here.views, strict=True):
        assert torch.equal(a, b)
