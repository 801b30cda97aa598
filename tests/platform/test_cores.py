"""Cores that a process may use: counted from trees like those that Linux shows, of both kinds of control groups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unlabeled.platform.drive import cores
from unlabeled.platform.drive.cores import usable_cores

DOCKER = "docker/0123abcd"
# what /proc/self/cgroup says, the files below /sys/fs/cgroup, and how many of eight cores are then usable
TREES: dict[str, tuple[str, dict[str, str], int]] = {
    "no limit": ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
    "two and a half": ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
    "half a core": ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
    "more than there are": ("0::/\n", {"cpu.max": "6400000 100000\n"}, 8),
    "of a group": ("0::/job/step\n", {"job/step/cpu.max": "300000 100000\n", "job/cpu.max": "max 100000\n"}, 3),
    "of a group above": ("0::/job/step\n", {"job/step/cpu.max": "max 100000\n", "job/cpu.max": "400000 100000\n"}, 4),
    "of a container that sees the host's name": (f"0::/{DOCKER}\n", {"cpu.max": "200000 100000\n"}, 2),
    "of a name that leaves the tree": ("0::/../../x\n", {"cpu.max": "200000 100000\n"}, 2),
    "version 1": (
        f"3:memory:/\n2:cpu,cpuacct:/{DOCKER}\n",
        {f"cpu,cpuacct/{DOCKER}/cpu.cfs_quota_us": "150000\n", f"cpu,cpuacct/{DOCKER}/cpu.cfs_period_us": "50000\n"},
        3,
    ),
    "version 1 without a limit": (
        "1:cpu:/\n",
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        8,
    ),
    "both versions": (
        "1:cpu:/\n0::/\n",
        {
            "cpu/cpu.cfs_quota_us": "500000\n",
            "cpu/cpu.cfs_period_us": "100000\n",
            "unified/cpu.max": "600000 100000\n",
        },
        5,
    ),
    "files of another shape": ("0::/\nx\n\n", {"cpu.max": "\n"}, 8),
    "words for numbers": ("0::/\n", {"cpu.max": "some 0\n"}, 8),
    "a period of nothing": ("0::/\n", {"cpu.max": "100000 0\n"}, 8),
    "no groups": ("", {}, 8),
}


@pytest.mark.parametrize(("groups", "files", "usable"), TREES.values(), ids=TREES)
def test_a_quota_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, files: dict[str, str], usable: int
) -> None:
    for path, text in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{path}": files[path] for path in files}}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert usable_cores(tmp_path) == usable


def test_a_system_that_tells_nothing_has_the_cores_that_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores(tmp_path) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores(tmp_path) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes can't be bound to cores here")
def test_a_process_that_is_bound_to_a_core_has_one() -> None:
    code = (
        "import os, runpy; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        f"print(runpy.run_path({cores.__file__!r})['usable_cores']())"
    )
    bound = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert bound.stdout.strip() == "1"
