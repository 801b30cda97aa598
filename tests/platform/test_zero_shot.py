"""The zero-shot probe, by hand and on a method that only looks as if it read texts."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from formats import plain
from sources import classes_of, with_classes
from torch import Tensor, nn

from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import Subject
from unlabeled.platform.evaluate.zero_shot import ZeroShot
from unlabeled.platform.method import Batch, ImageTextMethod, StepResult
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.platform.train.protocols import protocols

CLASSES = tuple(f"class {i}" for i in range(10))
PROMPTS = ("a picture of {}", "{} drawn by hand")


class Fake(ImageTextMethod):
    """Puts a picture where three of its pixels are, and a text where a table says."""

    def __init__(self, places: Mapping[str, Tensor]) -> None:
        super().__init__(ConvNetConfig(width=4).build(plain(1, 28)))
        self.places = places
        self.dropout = nn.Dropout()
        self.asked: list[tuple[bool, tuple[int, ...]]] = []

    def forward(self, batch: Batch) -> StepResult:
        raise NotImplementedError

    def embed_images(self, images: Tensor) -> Tensor:
        self.asked.append((self.dropout.training, tuple(images.shape)))
        return F.normalize(self.dropout(images[:, 0, 10:13, 14]), dim=1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        return self.dropout(torch.stack([self.places[text] for text in texts]))


def fake(templates: Sequence[str]) -> Fake:
    places = torch.randn(len(templates) * len(CLASSES), 3, generator=torch.Generator().manual_seed(0))
    texts = [template.replace("{}", name) for template in templates for name in CLASSES]
    return Fake(dict(zip(texts, F.normalize(places, dim=1), strict=True)))


@pytest.fixture
def data(small_data: Data) -> Data:
    few = torch.arange(100)
    named = with_classes(small_data, CLASSES)
    return replace(named, validation=named.validation.take(few), test=named.test.take(few))


def by_hand(method: Fake, templates: Sequence[str], data: Data, split: str) -> float:
    """Classify one picture at a time."""
    images, right = getattr(data, split), 0
    for i in range(len(images)):
        picture = images.read(torch.tensor([i]), "image")[0, 0].double() / 255
        x = picture[10:13, 14]
        cosines = []
        for name in CLASSES:
            place = sum(method.places[template.replace("{}", name)].double() for template in templates)
            cosines.append(float(x @ place / (x.norm() * place.norm())))  # type: ignore[operator, union-attr]
        right += cosines.index(max(cosines)) == int(classes_of(images)[i])
    return right / len(images)


@pytest.mark.parametrize("templates", [("{}",), PROMPTS])
def test_it_is_what_one_computes_by_hand(templates: tuple[str, ...], data: Data, processor: Processor) -> None:
    method = fake(templates)
    splits = ("validation", "test")
    found = ZeroShot(templates=templates).measure(
        Subject(method, copy.deepcopy(method.encoder), data, processor, 0), splits
    )
    assert found == {split: {"top1": pytest.approx(by_hand(method, templates, data, split))} for split in splits}
    assert 0.0 < found["test"]["top1"] < 1.0


def test_a_template_counts_once_however_long_its_vectors_are(data: Data, processor: Processor) -> None:
    method, stretched = fake(PROMPTS), fake(PROMPTS)
    stretched.places = {
        text: place * (100.0 if text.startswith("a picture") else 1.0) for text, place in method.places.items()
    }
    one, other = (
        ZeroShot(templates=PROMPTS).measure(Subject(each, copy.deepcopy(each.encoder), data, processor, 0), ("test",))
        for each in (method, stretched)
    )
    assert one == other


def test_it_looks_in_eval_mode_at_chunks_and_leaves_the_modes(small_data: Data, processor: Processor) -> None:
    method, data = fake(("{}",)).train(), with_classes(small_data, CLASSES)
    method.encoder.eval()
    before = [module.training for module in method.modules()]
    subject = Subject(method, copy.deepcopy(method.encoder), data, processor, 0)
    assert ZeroShot().measure(subject, ("test",)) == ZeroShot().measure(subject, ("test",))
    assert [module.training for module in method.modules()] == before
    assert not any(training for training, _ in method.asked)
    assert max(shape[0] for _, shape in method.asked) <= 512
    assert sum(shape[0] for _, shape in method.asked) == 2 * len(data.test)


def test_no_gradient_is_kept(data: Data, processor: Processor) -> None:
    method = fake(("{}",))
    for text, place in method.places.items():
        method.places = {**method.places, text: place.requires_grad_()}
    assert not ZeroShot().embed_classes(method, CLASSES).requires_grad


def test_many_classes_are_read_in_chunks() -> None:
    method = fake(("{}",))
    names = CLASSES * 60
    expected = torch.stack([*method.places.values()]).repeat(60, 1)
    torch.testing.assert_close(ZeroShot().embed_classes(method.eval(), names), expected)


def test_keys_and_protocols_tell_names_from_prompts(small_run: RunConfig, data: Data, processor: Processor) -> None:
    probes = (ZeroShot(), ZeroShot(templates=PROMPTS))
    assert [probe.key for probe in probes] == ["zero-shot", "zero-shot-prompts"]
    run = small_run.with_field("evaluation", EvaluationConfig(final=probes)).with_field("encoder.width", 4)
    evaluation, method = Evaluation(run, data, processor), fake(("{}", *PROMPTS))
    found = evaluation.final(method) | evaluation.untrained(method)
    assert set(found) == {
        f"{area}/{probe.key}/top1" for area in ("validation", "test", "untrained") for probe in probes
    }
    how = protocols(run.evaluation, data)
    assert set(found) <= set(how)
    assert how["test/zero-shot/top1"].startswith("zero-shot@1 (templates ('{}',)) on test, ")
    assert RunConfig.model_validate_json(run.canonical_json()) == run


def test_a_method_without_texts_is_refused(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    run = small_run.with_field("evaluation", EvaluationConfig(final=(ZeroShot(),)))
    line = r"^zero-shot needs a method with a text tower, such as clip, and SimCLR has none; take it out of evaluation"
    with pytest.raises(UserError, match=line):
        Training(run, small_data, processor)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": 0.1}, r"^labels 0\.1 would be ignored by zero-shot, which looks at none; leave it out$"),
        ({"templates": ("{}", "an emoji")}, r"the template 'an emoji' has no \{\} where the class's name goes; put it"),
        ({"templates": ()}, r"templates: Tuple should have at least 1 item"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ZeroShot.checked(**fields)
