"""Counter-based random streams: every draw is keyed by what it is for, never by when it happens."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """Purpose of a random stream."""

    IDENTITY = 11  # ids: identity
    SCENE = 22  # ids: scene
    MOTION = 33  # ids: clip
    PICTURE = 34  # ids: clip, frame, camera
    CAMERA = 35  # ids: clip, camera; what stays fixed over the frames of a clip
    GROUP = 36  # ids: clip; how many people, and where they stand
    HAND_USER = 51  # ids: user
    HAND_CLIP = 52  # ids: clip; pose or motion, what is held, who stands behind
    HAND_PICTURE = 53  # ids: clip, frame, camera
    BACKDROP = 77  # ids: bank, number


def generator(seed: int, stream: Stream, *ids: int) -> np.random.Generator:
    """Generator of one stream, equal in every process and in every order of calls.

    Args:
        seed: seed of the whole data set, >= 0.
        stream: what the numbers are for.
        ids: numbers that name the thing drawn, each >= 0.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, int(stream), *ids])))
