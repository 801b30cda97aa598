"""What probes read: once, whatever is asked of it; kept once, in memory or in a file; of any encoder."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from grids import PX, data_of, scenes
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from unlabeled.methods.contrastive.simclr import SimCLR, SimCLRConfig
from unlabeled.platform.augment import Crop, Policy, two_views
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import Data, DataConfig, Source, load
from unlabeled.platform.encoder import ConvNetConfig, Encoder, WaveConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import (
    KNN,
    Corruption,
    Detect,
    FeatureProbe,
    Features,
    Frames,
    KMeans,
    Linear,
    Look,
    Measurement,
    collect,
    every,
    extract,
    extraction,
    lloyd,
    regression,
)
from unlabeled.platform.evaluate.layers import Block, seen_by
from unlabeled.platform.processor import Processor
from unlabeled.platform.testing.probes import blobs
from unlabeled.platform.train.built import build_method
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.platform.train.protocols import protocols


class Counting(Source):
    """Counts how often each picture of a source is read."""

    def __init__(self, source: Source) -> None:
        self.source, self.fields, self.reads = source, source.fields, Counter[int]()

    def __len__(self) -> int:
        return len(self.source)

    def known(self, field: str) -> Tensor:
        return self.source.known(field)

    def read(self, index: Tensor, field: str) -> Tensor | list[str]:
        if field == "image":
            self.reads.update(index.tolist())
        return self.source.read(index, field)

    def take(self, rows: Tensor) -> "Counting":
        return Counting(self.source.take(rows))


def counted(data: Data) -> tuple[Data, dict[str, Counting]]:
    splits = {split: Counting(getattr(data, split)) for split in ("train", "validation", "test")}
    return replace(data, **splits), splits


def test_a_split_is_read_once_for_each_way_to_show_it(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    noisy = Corruption(kind="noise", severity=3)
    probes, layers = (KNN(), KNN(labels=0.5)), ("", "block1", "head")
    final = every(probes, layers=layers, told=("class", "rotation"), shown=(None, noisy))
    follow = every((KNN(), KNN(neighbors=5)), layers=("", "head"))
    run = small_run.with_field("evaluation", EvaluationConfig(follow=follow, final=final, follow_images=100))
    data, splits = counted(small_data)
    method = build_method(run, small_data, processor)
    found = Evaluation(run, data, processor).final(method)
    assert {name: set(each.reads.values()) for name, each in splits.items()} == {
        "train": {1},
        "validation": {2},  # clean and noisy
        "test": {2},
    }
    assert all(len(each.reads) == len(each) for each in splits.values())
    data, splits = counted(small_data)
    plain = run.with_field("method.views", run.method.views.model_copy(update={"views": run.method.views.views[:1]}))
    evaluation = Evaluation(run, data, processor)
    evaluation.run = plain  # without a second view there is no alignment, which reads the pictures for itself
    evaluation.follow(method)
    assert {name: set(each.reads.values()) for name, each in splits.items()} == {
        "train": {1},
        "validation": {1},
        "test": set(),
    }
    alone: dict[str, float] = {}
    for each in final[::5]:
        one = run.with_field("evaluation", EvaluationConfig(final=(each,)))
        alone |= Evaluation(one, small_data, processor).final(method)
    assert alone == {name: found[name] for name in alone}, "what is read together is what is read alone"


def test_features_in_a_file_are_those_in_memory_and_leave_nothing(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = build_method(small_run, small_data, processor)
    looks = {"": Look(method.encoder), "grid": Look(Block(method.encoder, "block1", places=True))}
    in_memory = collect(looks, small_data.test, processor, folder=tmp_path / "work")
    assert not (tmp_path / "work").exists(), "small ones are not worth a file"
    monkeypatch.setattr(extraction, "IN_MEMORY", 0)
    made: list[tuple[int, ...]] = []
    monkeypatch.setattr(
        extraction,
        "mapped",
        lambda shape, folder, mapped=extraction.mapped: made.append(shape) or mapped(shape, folder),
    )
    filed = collect(looks, small_data.test, processor, folder=tmp_path / "work")
    assert made == [in_memory[key].x.shape for key in looks]
    for key, features in filed.items():
        assert torch.equal(features.x, in_memory[key].x)
        assert torch.equal(features.labels, in_memory[key].labels)
        assert torch.equal(features.take(torch.tensor([3, 1])).x, features.x[[3, 1]])
    assert KNN()(filed[""], filed[""]) == KNN()(in_memory[""], in_memory[""])
    assert Linear()(filed[""], filed[""]) == Linear()(in_memory[""], in_memory[""])
    assert list((tmp_path / "work").iterdir()) == []


def test_a_look_that_fails_leaves_the_others(
    small_run: RunConfig, small_data: Data, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("on purpose")

    final = every((KNN(),), layers=("", "head"))
    run = small_run.with_field("evaluation", EvaluationConfig(final=final))
    method = build_method(run, small_data, processor)
    assert isinstance(method, SimCLR)
    method.head = Fails()
    evaluation = Evaluation(run, small_data, processor)
    assert set(evaluation.final(method)) == {"validation/knn/top1", "test/knn/top1"}
    notes = [f"features of {split}/head were not computed: on purpose" for split in ("train", "validation", "test")]
    assert list(evaluation.notes) == notes
    monkeypatch.setattr(extraction, "CHUNK", 16)
    data, splits = counted(small_data)
    alone = Evaluation(run.with_field("evaluation.final", final[1:]), data, processor)
    assert not alone.final(method)
    assert list(alone.notes) == notes
    assert all(0 < len(each.reads) < len(each) for each in splits.values()), "where all fail, the rest is not read"


@pytest.fixture
def second(small_run: RunConfig, small_data: Data, monkeypatch: pytest.MonkeyPatch) -> Encoder:
    """A further encoder that every SimCLR here has, called "second"."""
    torch.manual_seed(7)
    encoder = small_run.encoder.build(small_data.format)
    monkeypatch.setattr(SimCLR, "encoders", lambda method: {"": method.encoder, "second": encoder})
    return encoder


def test_a_further_encoder_is_probed_under_its_name(
    small_run: RunConfig, small_data: Data, processor: Processor, second: Encoder
) -> None:
    final = every((KNN(),), encoders=("", "second"), layers=("", "block1"))
    assert [each.key for each in final] == ["knn", "block1/knn", "second/knn", "second/block1/knn"]
    assert final[2].features == "encoder second features"
    assert final[3].features == "block1 features of encoder second"
    assert Measurement.model_validate_json(final[3].canonical_json()) == final[3]
    assert "encoder" not in final[1].identity(), "what was measured before is called what it was called"
    run = small_run.with_field("evaluation", EvaluationConfig(final=final))
    method = Training(run, small_data, processor).method
    found = Evaluation(run, small_data, processor).final(method)
    for encoder, layer, name in ((second, second, "second/"), (second, Block(second, "block1"), "second/block1/")):
        assert encoder in method.encoders().values()
        bank, asked = (extract(layer, getattr(small_data, split), processor) for split in ("train", "test"))
        assert found[f"test/{name}knn/top1"] == KNN()(bank, asked)["top1"]


@pytest.mark.parametrize(
    ("measurement", "line"),
    [
        ({"encoder": "secnd"}, "no further encoder of simclr is called 'secnd'; did you mean 'second'"),
        (
            {"encoder": "second", "layer": "head"},
            "no layer of simclr's encoder second is called 'head'; there are: block1",
        ),
    ],
)
def test_an_encoder_or_layer_that_there_is_not_is_named(
    small_run: RunConfig,
    small_data: Data,
    processor: Processor,
    second: Encoder,
    measurement: dict[str, str],
    line: str,
) -> None:
    run = small_run.with_field("evaluation.final", ({"probe": {"name": "knn"}, **measurement},))
    with pytest.raises(UserError, match=line):
        Training(run, small_data, processor)
    with pytest.raises(UserError, match="fine-tune scores the encoder that is kept, so second would be ignored"):
        run.with_field("evaluation.final", ({"probe": {"name": "fine-tune"}, "encoder": "second"},))


def test_an_encoder_is_shown_what_it_is_made_for() -> None:
    films = load(DataConfig(name="emoji-films", train_images=64))
    sounds = films.showing("wave")
    of_pictures, of_sounds = ConvNetConfig(width=4).build(films.format), WaveConfig(width=4).build(sounds.format)
    for data in (films, sounds):
        assert films.train.fields[seen_by(of_pictures, data)].kind == "clip"
        assert seen_by(of_sounds, data) == "wave"


def on_disk(rows: int, folder: Path) -> Features:
    made = blobs(rows, 4.0, classes=20, dim=256)
    return Features(extraction.mapped(made.x.shape, folder).copy_(made.x), made.labels)


def peak_of(probe: FeatureProbe, train: Features, test: Features, trace: Path) -> int:
    """Return the bytes of tensors that a probe has at most at a time; those in files are not among them."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        probe(train, test)
    profiled.export_chrome_trace(str(trace))
    events = json.loads(trace.read_text())["traceEvents"]
    held = [event["args"]["Total Allocated"] for event in events if event["name"] == "[memory]"]
    return max(held) - min(held)


def test_peak_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (regression, "KEPT", 2**17),  # less than the rows' features and probabilities
        (lloyd, "SAMPLE", 2**12),
        (lloyd, "SAMPLE_OF_EACH", 1),
        (lloyd, "_MAX_PASSES", 2),
    ):
        monkeypatch.setattr(module, name, value)
    few, many, test = (on_disk(rows, tmp_path / "work") for rows in (10_000, 40_000, 500))
    added = many.x.nbytes - few.x.nbytes
    for probe in (Linear(max_iterations=2), KNN(), KMeans(num_starts=1)):
        at_first, later = (peak_of(probe, train, test, tmp_path / "trace.json") for train in (few, many))
        assert at_first > 2**20, "what it allocates is seen"
        assert later < at_first + 0.1 * added, f"{probe.name} copies the rows"
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("kept", [0, 2**30])
def test_the_linear_probe_in_blocks_solves_the_same(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = blobs(3000, 4.0, classes=7, dim=40), blobs(500, 4.0, seed=1, classes=7, dim=40)
    whole = Linear().solve(train.x.double(), train.labels)
    monkeypatch.setattr(regression, "KEPT", kept)
    monkeypatch.setattr(regression, "_MIN_ROWS", 256)
    monkeypatch.setattr(regression, "_BLOCK", 1)
    in_blocks = Linear().solve(train.x.double(), train.labels)
    tolerance = 1e-6 if kept == 0 else 1e-8
    assert in_blocks.steepest <= tolerance
    torch.testing.assert_close(in_blocks.weight, whole.weight, rtol=0.0, atol=2 * tolerance / 1e-3)
    assert Linear()(train, test)["converged"] == 1.0
    in_float64 = Features(train.x.double(), train.labels)
    assert Linear()(in_float64, test)["converged"] == 1.0
    assert torch.equal(in_float64.x, train.x.double()), "features stay as they are"
    assert Linear().tolerance_of(len(train), 7) == tolerance


def test_what_is_done_otherwise_at_size_is_in_the_protocol(
    small_run: RunConfig, small_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = every((Linear(), KMeans(), KNN()))
    evaluation = small_run.with_field("evaluation", EvaluationConfig(final=final)).evaluation
    before = protocols(evaluation, small_data)
    monkeypatch.setattr(regression, "KEPT", 256 * 10 - 1)
    monkeypatch.setattr(lloyd, "SAMPLE", 100)
    monkeypatch.setattr(lloyd, "SAMPLE_OF_EACH", 10)
    after = protocols(evaluation, small_data)
    linear, kmeans = "test/linear/top1", "untrained/kmeans/nmi"
    assert after[linear] == f"{before[linear]}, solved with products in float32 to a gradient of 1e-06"
    assert after[kmeans] == f"{before[kmeans]}, starts compared on 100 of 256 items"
    assert {name: text for name, text in after.items() if "linear" not in name and "kmeans" not in name} == {
        name: text for name, text in before.items() if "linear" not in name and "kmeans" not in name
    }


def test_how_many_frames_are_solved_otherwise_is_in_the_protocol() -> None:
    said = "solved with products in float32 to a gradient of 1e-06"
    assert Frames().at_size(100, 10) == ""
    assert Frames().at_size(2**20, 8) == f"{said} where sounds have more than 8 frames"
    assert Frames().at_size(2**24, 8) == said
    assert regression.is_exact(2**20 * 8, 8)
    assert not regression.is_exact(2**20 * 9, 8)


def test_detection_with_a_tuned_encoder_is_better_than_with_an_untrained_one(processor: Processor) -> None:
    small = Detect(width=16, epochs=1, min_steps=100, batch_size=16)
    tuned = small.with_field("tuned", True)
    assert (tuned.key, tuned.with_field("labels", 0.1).key) == ("detect-tuned", "detect-tuned-10pct")
    assert "tuned" not in small.protocol, "what was measured frozen is called what it was called"
    assert "tuned True" in tuned.protocol
    run = RunConfig(
        method=SimCLRConfig(views=two_views(Policy(ops=(Crop(size=PX),)))),
        encoder=ConvNetConfig(width=4),
        precision="fp32",
        seed=1,
        evaluation=EvaluationConfig(final=(small, tuned), splits=("test",)),
    )
    data = data_of(scenes())
    method = build_method(run, data, processor)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    evaluation = Evaluation(run, data, processor)
    found = evaluation.final(method)
    assert not list(evaluation.notes)
    assert found["test/detect-tuned/ap50"] > found["test/detect/ap50"] + 0.1
    assert evaluation.final(method) == found, "it repeats"
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items()), "a copy is trained"
    assert {name for name in protocols(run.evaluation, data) if "detect" in name} >= set(found)
