"""Light and dark ground."""

import numpy as np

from tasks.data.ground import has_light_ground

DIGIT = np.zeros((1, 9, 7), np.uint8)
DIGIT[:, 2:7, 2:5] = 255


def test_the_border_determines_the_ground_of_an_image() -> None:
    touching = DIGIT.copy()
    touching[:, 0:9, 3] = 255  # a stroke from edge to edge is no ground
    pictures = np.concatenate([DIGIT, 255 - DIGIT, touching, 255 - touching])
    assert list(has_light_ground(pictures)) == [False, True, False, True]
