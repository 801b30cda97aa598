"""How fast is training beside what else one would take? Installs its peers, so it runs only by its name.

Measured on the whole machine, images per second of SimCLR, MoCo and MAE on colour pictures of 32 and 96 px that lie in
memory: the platform's whole step, beside lightly as the examples of its documentation write it (PIL transforms in eight
workers, a forward pass for each view) and lightly tuned by somebody who knows torch (a worker for each core that stays,
one forward pass for all views, channels last, the platform's number format). Same encoder, head, views, batch size and
optimiser on all sides. The two methods' own encoder is the laptop's small convnet, MAE's a small ViT of timm.

Each side is a process of its own that trains an epoch when it is told to, and waits otherwise, so that the sides
take turns; a ratio is the median of the turns'. The peers live in ``benchmarks/peers/.venv``, beside this machine's own
packages. What was measured is appended to ``benchmarks/history.jsonl``.
"""

import dataclasses
import datetime
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from benchmarks.command import ROOT
from benchmarks.compare import Row, in_turns, paired_ratio
from unlabeled.platform.processor import Processor

HERE = Path(__file__).parent
HISTORY = HERE.parent / "history.jsonl"
PACKAGES = ("lightly==1.6.0", "lightly-utils==0.0.2", "lightning-utilities==0.15.3")
TURNS = 5
SIZES = (32, 96)
METHODS = ("simclr", "moco", "mae")
PEERS = ("lightly", "lightly-tuned")
TARGETS = {("simclr", 32, "lightly"): 4.3, ("simclr", 32, "lightly-tuned"): 3.0}  # with 32-bit floats
TARGETS_BF16 = {("simclr", 32, "lightly"): 6.0, ("simclr", 32, "lightly-tuned"): 2.5}


def rows() -> Iterator[Row]:
    python = peers_python()
    for method in METHODS:
        for px in SIZES:
            found = list(compared(python, method, px))
            keep(found)
            yield from found


def keep(found: Sequence[Row]) -> None:
    """Append rows to the history, a line of JSON each, with when, where and of which code they are."""
    commit = run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]).strip()
    where = {
        "date": f"{datetime.date.today()}",
        "commit": commit,
        "processor": Processor(torch.device("cpu")).name,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }
    with HISTORY.open("a") as file:
        for row in found:
            file.write(json.dumps({**where, **dataclasses.asdict(row)}) + "\n")


def compared(python: Path, method: str, px: int) -> Iterator[Row]:
    """Let the sides take turns at one method and size."""
    sides = {name: Side(python, name, method, px) for name in ("ours", *PEERS)}
    try:
        seconds = dict(zip(sides, in_turns([side.turn for side in sides.values()], TURNS, Clock(sides)), strict=True))
    finally:
        for side in sides.values():
            side.end()
    speeds = {name: side.images / statistics.median(seconds[name]) for name, side in sides.items()}
    precision = sides["ours"].precision
    targets = TARGETS_BF16 if precision == "bf16" else TARGETS
    for peer in PEERS:
        ratio = paired_ratio(seconds[peer], seconds["ours"])
        yield Row.of_ratio(
            what=f"{method}, {px} px, {precision}",
            ours=f"{speeds['ours']:,.0f} images/s",
            reference=f"{speeds[peer]:,.0f} images/s, {peer}",
            ratio=ratio,
            least=targets.get((method, px, peer)),
        )


class Side:
    """One side's process.

    Attributes:
        images: trained on in a turn.
        precision: that it computes in.
        seconds: of all its turns, by its own clock.
    """

    def __init__(self, python: Path, name: str, method: str, px: int) -> None:
        words = [str(python), "-m", f"benchmarks.peers.{name.partition('-')[0]}", name, method, str(px)]
        self._process = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        images, self.precision = self._line().split()
        self.images, self.seconds = int(images), 0.0

    def turn(self) -> None:
        """Let it train for a turn."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self.seconds += float(self._line())

    def end(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(map(str, self._process.args))} ended")  # type: ignore[arg-type]
        return line


class Clock:
    """The sides' own clocks together: what a turn takes by that of whoever took it."""

    def __init__(self, sides: "dict[str, Side]") -> None:
        self._sides = sides

    def __call__(self) -> float:
        """Return the seconds of all turns until now."""
        return sum(side.seconds for side in self._sides.values())


def peers_python() -> Path:
    """Return a Python with the peers, which is made where there is none."""
    python = HERE / ".venv" / "bin" / "python"
    if not python.exists():
        run([sys.executable, "-m", "venv", str(HERE / ".venv")])
        own = run([str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]).strip()
        ours = run([sys.executable, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]).strip()
        Path(own, "this-project.pth").write_text(ours + "\n")  # torch is there once
    run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", *PACKAGES])
    return python


def run(words: Sequence[str]) -> str:
    """Run a command and return what it printed."""
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
