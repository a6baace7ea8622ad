"""Tests of the calibration of probabilities."""

import numpy as np
import pytest

from tasks.model.calibration import calibration_error, fit_temperature, softmax


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_fitted_temperature_equals_the_true_one(temperature: float) -> None:
    """Labels are drawn with the probabilities that the temperature gives."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 10))
    shares = softmax(logits, temperature)
    labels = (shares.cumsum(axis=1) > rng.uniform(size=(20_000, 1))).argmax(axis=1)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)
    assert calibration_error(shares, labels) < 0.02
    assert calibration_error(softmax(logits, temperature * 3), labels) > 0.05


def test_softmax_of_large_logits() -> None:
    assert softmax(np.array([[1e4, 0.0]]))[0].tolist() == [1.0, 0.0]
