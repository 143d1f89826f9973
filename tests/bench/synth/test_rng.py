from __future__ import annotations

import numpy as np

from bench.synth.rng import Stream, generator


def test_same_key_same_numbers_and_other_keys_other_numbers():
    keys = [(0, Stream.IDENTITY, 5), (1, Stream.IDENTITY, 5), (0, Stream.SCENE, 5), (0, Stream.IDENTITY, 6)]
    draws = [generator(*key).random(50) for key in keys]
    assert np.array_equal(draws[0], generator(*keys[0]).random(50))
    for i in range(len(keys)):
        for j in range(i):
            assert not np.isclose(draws[i], draws[j]).any()


def test_ids_are_not_summed_or_joined():
    assert generator(0, Stream.PICTURE, 1, 23, 4).random() != generator(0, Stream.PICTURE, 12, 3, 4).random()
    assert generator(0, Stream.PICTURE, 1, 2).random() != generator(0, Stream.PICTURE, 2, 1).random()
