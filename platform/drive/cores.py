"""How many cores this process may use, which is often fewer than the machine has.

A batch system or ``taskset`` binds a process to some of them; a container has a quota of time on all of them. Neither
Ray nor torch asks for both.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Return the number of cores that this process may use: of those that it is bound to, as many as its quota pays.

    A share of a core counts as none, except where that is all there is.

    Args:
        root: the file system that Linux tells about control groups in.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min([float(bound), *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """Give the limits of the process's control groups, in cores: each group's own, and those of the ones it lies in."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, UnicodeDecodeError):  # not a Linux, or one that hides it
        return
    mounts = root / "sys/fs/cgroup"
    for line in groups:
        _, _, named = line.partition(":")
        controllers, _, group = named.partition(":")
        if not controllers:  # version 2; "unified" where both versions are there
            for folder in (mounts, mounts / "unified"):
                for place in _upwards(folder, group):
                    yield from _ratio(place / "cpu.max", place / "cpu.max")
        elif "cpu" in controllers.split(","):
            for folder in (mounts / "cpu", mounts / controllers):
                for place in _upwards(folder, group):
                    yield from _ratio(place / "cpu.cfs_quota_us", place / "cpu.cfs_period_us")


def _upwards(mount: Path, group: str) -> Iterator[Path]:
    """Give a group's folder and those above it. In a container the mount may be the group itself, whatever its name."""
    place = mount / group.strip("/")
    yield place
    while place != mount and mount in place.parents:
        place = place.parent
        yield place


def _ratio(quota: Path, period: Path) -> Iterator[float]:
    """Give quota / period, where there is a limit: version 2 has both in one file, and writes "max" for none."""
    try:
        words = quota.read_text().split() if quota == period else [quota.read_text(), period.read_text()]
        allowed, of = float(words[0]), float(words[1])
    except (OSError, ValueError, IndexError):
        return
    if allowed > 0 and of > 0:
        yield allowed / of
