"""Does predicting a sound's future teach more of it than its cepstrum shows?

Why it matters: cepstra were made by hand for speech, and CPC was the first to beat them without labels.
Source: van den Oord, Li, Vinyals (2018), arXiv:1807.03748, table 1.
Expected: CPC beats the cepstrum and an encoder that is not trained, by far at telling who speaks, and comes near labels
there; at what is said it falls further behind them.
Cost: laptop 9 runs. Nobody has timed them, nor the other profiles.

The paper asks for the speaker, and for the phone at each moment. Here a word's language is asked, each spoken by one
voice, and how the word begins (``initial``); both of the mean over the word, by a linear layer. The network with labels
is told the language alone. The cepstrum has no weights, so its run trains nothing but a linear layer beside it.
"""

from unlabeled.methods.autoregressive.cpc_sound import CPCSoundConfig, heard
from unlabeled.methods.supervised.classifier import SupervisedConfig
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.encoder import MFCCConfig, WaveConfig
from unlabeled.platform.evaluate import Linear, Measurement
from unlabeled.platform.optim import AdamW
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.tables import Column, against

MEASURE, START, SAID = "test/linear/top1", "untrained/linear/top1", "test/initial/linear/top1"
METHODS = {"CPC": "CPC", "cepstrum": "MFCC features", "labels": "Supervised"}
SPEAKER, PHONE = (
    Column("cpc_audio", "acc", {row: {"task": task, "method": method} for row, method in METHODS.items()})
    for task in ("speaker", "phone")
)
RANDOM = Column("cpc_audio", "acc", {"CPC": {"task": "speaker", "method": "Random initialization"}})
LAPTOP = RunConfig(
    method=CPCSoundConfig(views=heard(8_000)),
    data=DataConfig(name="stamps-spoken", train_images=2000),
    encoder=WaveConfig(width=48),
    optimizer=AdamW(learning_rate=1e-3),
    epochs=6,
    batch_size=10,
    evaluation=EvaluationConfig(
        every_epochs=3,
        final=(Measurement(probe=Linear()), Measurement(probe=Linear(), told="initial")),
    ),
)
WHOLE = CPCSoundConfig()

STUDY = Study(
    name="cpc-sound",
    question="Does predicting a sound's future teach more of it than its cepstrum shows?",
    source=SPEAKER.source,
    expected="CPC beats the cepstrum and an untrained encoder by far at telling who speaks, and comes near labels.",
    cost="9 runs at laptop scale, not timed",
    profiles={
        "laptop": LAPTOP,
        "workstation": LAPTOP.with_field("method", WHOLE)
        .with_field("encoder.width", 128)
        .with_field("data.train_images", None)
        .with_field("batch_size", 64)
        .with_field("epochs", 50),
        "cluster": LAPTOP.with_field("method", WHOLE)
        .with_field("encoder.width", 512)
        .with_field("data.train_images", None)
        .with_field("batch_size", 64)
        .with_field("epochs", 200),
    },
    rows={
        "cepstrum": {"method": SupervisedConfig(views=heard(8_000)), "encoder": MFCCConfig()},
        "CPC": {},
        "labels": {"method": SupervisedConfig(views=heard(8_000))},
    },
    measure=MEASURE,
    also=(START, SAID, "untrained/initial/linear/top1"),
    published=(
        SPEAKER.beside(note="here languages, one voice each"),
        PHONE.beside(SAID, note="here how words begin"),
        RANDOM.beside(START),
    ),
    claims=(
        SPEAKER.claim("CPC beats the cepstrum at telling who speaks.", "CPC", "cepstrum"),
        Claim(
            statement="CPC beats its untrained encoder at telling who speaks.",
            higher="CPC",
            lower="CPC",
            lower_measure=START,
            **against(SPEAKER["CPC"], RANDOM["CPC"]),
        ),
        SPEAKER.claim("Labels beat CPC at telling who speaks.", "labels", "CPC"),
        PHONE.claim("CPC beats the cepstrum at telling what is said.", "CPC", "cepstrum", measure=SAID),
    ),
)
