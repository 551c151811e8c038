"""Whitened vectors have mean 0 and covariance 1; what is written is read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distill.system.errors import DataError, ModelError
from distill.tasks.vectors.finish import Whitening, fit_whitening


def cone(count: int = 400, width: int = 8) -> np.ndarray:
    draw = np.random.default_rng(1)
    mixed = draw.normal(size=(count, width)) @ draw.normal(size=(width, width))
    return (mixed + 5 * draw.normal(size=width)).astype(np.float32)


@pytest.mark.parametrize("dimensions", [8, 3])
def test_mean_and_covariance(dimensions: int) -> None:
    vectors = cone()
    white = fit_whitening(vectors, dimensions)(vectors)
    assert white.shape == (400, dimensions)
    assert white.dtype == np.float32
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(white.T @ white / 400, np.eye(dimensions), atol=1e-3)


def test_the_directions_kept_are_those_of_the_largest_variance() -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(500, 3)) * [1.0, 10.0, 3.0]
    kernel = fit_whitening(vectors, 2).kernel
    assert np.abs(kernel).argmax(axis=0).tolist() == [1, 2]
    assert (kernel.max(axis=0) > 0).all()


def test_the_file(tmp_path: Path) -> None:
    whitening = fit_whitening(cone(), 4)
    path = tmp_path / "whitening.npz"
    whitening.write(path)
    again = Whitening.read(path)
    np.testing.assert_array_equal(again.kernel, whitening.kernel)
    np.testing.assert_array_equal(again.mean, whitening.mean)
    first = path.read_bytes()
    whitening.write(path)
    assert path.read_bytes() == first


def test_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "whitening.npz"
    with pytest.raises(ModelError, match="missing"):
        Whitening.read(path)
    path.write_bytes(b"PK not a zip")
    with pytest.raises(ModelError, match="not readable"):
        Whitening.read(path)
    np.savez(path, mean=np.zeros(3), kernel=np.zeros((4, 2)))
    with pytest.raises(ModelError, match="not a whitening"):
        Whitening.read(path)
    np.savez(path, mean=np.array([object()]), kernel=np.zeros((1, 1)))
    with pytest.raises(ModelError, match="not readable"):
        Whitening.read(path)


def test_too_many_dimensions() -> None:
    with pytest.raises(DataError, match="that have 8; write 8 or fewer"):
        fit_whitening(cone(), 9)
    with pytest.raises(DataError, match="span only 4"):
        fit_whitening(cone(count=5), 6)
