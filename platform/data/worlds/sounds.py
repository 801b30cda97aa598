"""The sound of a film: each bounce strikes at its moment, with its emoji's timbre, the louder the faster and larger.

A timbre is a few partials that die away, and a knock. Which partials is the group's, so a test emoji sounds like its
group; the pitch is the emoji's own, the same for both of its drawings. Everything is summed in whole numbers, from
tables whose entries no processor rounds otherwise, and is float32 at the end.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from unlabeled.platform.data.worlds.chance import Whole, between
from unlabeled.platform.data.worlds.drawings import Drawings
from unlabeled.platform.data.worlds.motion import FRAMES, RATE, Motion
from unlabeled.platform.draws import Draws

WAVE_RATE = 8_000
SAMPLES = int(FRAMES / RATE * WAVE_RATE)

_RINGS = 4_000  # samples that a strike takes at most
_RISE, _FADE = 16, 1_024  # samples in which it starts and ends, so that neither cracks
_SINE = np.array([round(32767 * math.sin(2 * math.pi * k / 4096)) for k in range(4096)], np.int64)
_FALL = np.array([round(32768 * 2.0 ** (-k / 1024)) for k in range(1024)], np.int64)
_GROUPS = (  # partials in 16ths of the pitch, how loud each is, samples in which the sound halves, how loud the knock
    ((16, 32), (8, 3), 420, 2),
    ((16, 24, 36), (7, 4, 2), 260, 4),
    ((16, 33, 51), (8, 5, 3), 500, 1),
    ((16, 47), (9, 2), 160, 8),
    ((16, 38, 67), (6, 5, 4), 700, 2),
    ((16, 25), (8, 6), 300, 10),
    ((16, 44, 86, 141), (6, 5, 4, 3), 600, 3),
    ((16, 48, 80), (7, 5, 4), 900, 0),
    ((16,), (4,), 90, 14),
)


def waves(draws: Draws, motion: Motion, drawn: Drawings) -> npt.NDArray[np.float32]:
    """Return the sound of each film, float32 [B, 1, 16,000] in [-1, 1]; what was struck before its start rings on."""
    count = len(motion.count)
    start = between(draws, "hiss", 0, len(_noise()) - SAMPLES - 1)
    loudness = between(draws, "hiss is loud", 1, 6)
    total = np.empty((count, SAMPLES), np.int64)
    moments = np.floor(motion.struck * WAVE_RATE).astype(np.int64)
    strength = np.floor(motion.speed * motion.size[:, :, None] / 6.0).astype(np.int64).clip(0, 256)
    for film in range(count):
        total[film] = (_noise()[start[film] : start[film] + SAMPLES] * loudness[film]) >> 3
        for slot in range(motion.count[film]):
            drawing = int(motion.drawing[film, slot])
            sound = _strike(int(drawn.emoji[drawing]), int(drawn.group[drawing]))
            for moment, loud in zip(moments[film, slot].tolist(), strength[film, slot].tolist(), strict=True):
                if -_RINGS < moment < SAMPLES:
                    first, last = max(moment, 0), min(moment + _RINGS, SAMPLES)
                    total[film, first:last] += (sound[first - moment : last - moment] * loud) >> 8
    return (total.clip(-32767, 32767).astype(np.float32) / np.float32(32768))[:, None]


@lru_cache(maxsize=4096)
def _strike(emoji: int, group: int) -> Whole:
    """Return what one bounce of an emoji sounds like at its loudest, int64 [4,000]."""
    partials, shares, halves, knock = _GROUPS[group]
    draws = Draws(torch.tensor([emoji], device="cpu"), "worlds", "timbre")
    pitch, start = int(between(draws, "pitch", 180, 640)[0]), int(between(draws, "knock", 0, 1 << 14)[0])
    n = np.arange(_RINGS)
    tone = np.zeros(_RINGS, np.int64)
    for partial, share in zip(partials, shares, strict=True):
        turns = n * (pitch * partial * (1 << 28) // WAVE_RATE)  # in 2**32nds of a turn
        tone += _SINE[(turns >> 20) & 4095] * share
    sound = _falling(tone, halves) + _falling(_noise()[start : start + _RINGS] * 256 * knock, 60)
    fade = np.minimum(n * (_FADE // _RISE), _RINGS - n).clip(max=_FADE)
    faded: Whole = (sound // 32 * fade) // _FADE
    return faded


def _falling(sound: Whole, halves: int) -> Whole:
    """Let a sound die away: it halves in so many samples."""
    octaves = np.arange(len(sound)) * 1024 // halves
    fallen: Whole = (sound * (_FALL[octaves & 1023] >> (octaves >> 10).clip(0, 31))) >> 15
    return fallen


@lru_cache(maxsize=1)
def _noise() -> Whole:
    """White noise, int64 [65,536] of -128 .. 127."""
    return between(Draws(torch.arange(256, device="cpu"), "worlds", "noise"), "noise", -128, 127, 256).reshape(-1)
