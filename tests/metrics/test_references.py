"""The metrics against closed forms, and against code that somebody else wrote."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from keras_gen.metrics import (
    NearestNeighbour,
    bits_per_dim,
    class_entropy,
    copying,
    density_coverage,
    frechet_distance,
    gaussian_frechet_distance,
    kernel_distance,
    precision_recall,
    prediction_entropy,
)
from keras_gen.metrics.kernel_distance import squared_discrepancy


@pytest.fixture(scope="module")
def sets() -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features whose means and covariances differ, as ReLU makes them."""
    random = np.random.default_rng(0)
    mix = random.normal(size=(16, 16)) / 4
    real = np.maximum(random.normal(size=(700, 16)) @ mix, 0)
    generated = np.maximum(random.normal(0.3, 1.2, size=(600, 16)) @ mix, 0)
    return real.astype(np.float32), generated.astype(np.float32)


def reference(package: str):
    """A package that is installed for these tests alone."""
    return pytest.importorskip(package, reason=f"the reference package {package} is not installed")


# In a process of its own, since PyTorch and TensorFlow do not always bear each other.
TORCH_FIDELITY = """
import json, sys
import numpy as np, torch
from torch_fidelity import metric_fid, metric_kid
sets = [torch.from_numpy(array) for array in np.load(sys.argv[1]).values()]
fid = metric_fid.fid_statistics_to_metric(*map(metric_fid.fid_features_to_statistics, sets), verbose=False)
size = min(map(len, sets))
kid = metric_kid.kid_features_to_metric(*sets, kid_subsets=1, kid_subset_size=size, verbose=False)
print(json.dumps({name: float(value) for name, value in {**fid, **kid}.items()}))
"""


def torch_fidelity(folder, real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """What torch-fidelity's functions make of the same features."""
    if importlib.util.find_spec("torch_fidelity") is None:
        pytest.skip("the reference package torch_fidelity is not installed")
    np.savez(folder / "sets.npz", real, generated)
    command = [sys.executable, "-c", TORCH_FIDELITY, str(folder / "sets.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# === Fréchet distance ===


def test_frechet_distance_of_a_set_to_itself_is_0(sets):
    assert frechet_distance(sets[0], sets[0]) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_with_equal_covariances_is_that_of_the_means(sets):
    shift = np.arange(16) / 10
    assert frechet_distance(sets[0], sets[0] + shift) == pytest.approx(np.sum(shift**2), rel=1e-5)


def test_frechet_distance_of_commuting_covariances():
    """Diagonal covariances: sum of (m - m')^2 + (s - s')^2."""
    random = np.random.default_rng(1)
    (m, n), (s, t) = random.normal(size=(2, 5)), random.uniform(0.1, 2, size=(2, 5))
    value = gaussian_frechet_distance(m, np.diag(s**2), n, np.diag(t**2))
    assert value == pytest.approx(np.sum((m - n) ** 2 + (s - t) ** 2))


def test_frechet_distance_against_scipys_matrix_root(sets):
    linalg = reference("scipy.linalg")
    real, generated = (side.astype(np.float64) for side in sets)
    covariances = [np.cov(side, rowvar=False) for side in (real, generated)]
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((real.mean(0) - generated.mean(0)) ** 2)
    expected += np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(*sets) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_against_torch_fidelity(sets, tmp_path):
    expected = torch_fidelity(tmp_path, *sets)["frechet_inception_distance"]
    assert frechet_distance(*sets) == pytest.approx(expected, rel=1e-5)


def test_singular_covariances_do_not_disturb_the_frechet_distance():
    """Two features that are always equal: the root of a product that rounds below 0."""
    x = np.random.default_rng(2).normal(size=(100, 1))
    doubled = np.concatenate([x, x], axis=1)
    assert frechet_distance(doubled, doubled * 2) == pytest.approx(
        np.sum(doubled.mean(0) ** 2) + np.trace(np.cov(doubled, rowvar=False)), rel=1e-6
    )


# === Kernel distance ===


def test_kernel_distance_of_two_halves_of_one_set_is_0_in_the_mean():
    """Unbiased: over 200 pairs of samples the mean is 0 within 3 standard errors."""
    random = np.random.default_rng(3)
    values = [squared_discrepancy(*random.normal(size=(2, 40, 6))) for _ in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)


def test_kernel_distance_from_its_definition(sets):
    """The double sum over pairs, as the paper writes it."""
    x, y = (side[:12].astype(np.float64) for side in sets)

    def k(a, b):
        return (a @ b / 16 + 1) ** 3

    within = [
        np.mean([k(side[i], side[j]) for i in range(12) for j in range(12) if i != j]) for side in (x, y)
    ]
    expected = sum(within) - 2 * np.mean([k(a, b) for a in x for b in y])
    assert squared_discrepancy(x, y) == pytest.approx(expected)
    # One subset of all samples is the whole set, in whatever order.
    assert kernel_distance(x, y, num_subsets=1, subset_size=12)[0] == pytest.approx(expected)


def test_kernel_distance_against_torch_fidelity(sets, tmp_path):
    """One subset of all samples, in whatever order."""
    both = [side[:600] for side in sets]
    expected = torch_fidelity(tmp_path, *both)["kernel_inception_distance_mean"]
    assert kernel_distance(*both, num_subsets=1, subset_size=600)[0] == pytest.approx(expected, rel=1e-4)


# === Precision, recall, density, coverage ===


@pytest.mark.parametrize("k", (1, 3, 5))
def test_precision_recall_density_coverage_against_prdc(sets, k):
    """Its authors' code, whose precision and recall take one k with density and coverage."""
    expected = reference("prdc").compute_prdc(*sets, nearest_k=k)
    found = dict(zip(("precision", "recall"), precision_recall(*sets, k=k), strict=True))
    found.update(zip(("density", "coverage"), density_coverage(*sets, k=k), strict=True))
    assert found == pytest.approx({name: float(value) for name, value in expected.items()}, abs=2e-3)


def test_a_set_covers_itself(sets):
    assert precision_recall(sets[0], sets[0]) == (1.0, 1.0)
    assert density_coverage(sets[0], sets[0])[1] == 1.0


def test_sets_that_are_far_apart_share_nothing(sets):
    far = sets[1] + 100
    assert precision_recall(sets[0], far) == (0.0, 0.0)
    assert density_coverage(sets[0], far) == (0.0, 0.0)


def test_a_generator_that_repeats_one_image_is_precise_and_forgets_the_rest(sets):
    repeated = np.repeat(sets[0][:1], 600, axis=0)
    precision, recall = precision_recall(sets[0], repeated)
    assert precision == 1.0 and recall == 1 / 700
    assert density_coverage(sets[0], repeated)[1] < 0.05


def test_results_do_not_depend_on_the_blocks(sets, monkeypatch):
    whole = precision_recall(*sets), density_coverage(*sets)
    monkeypatch.setattr("keras_gen.metrics.distances.BLOCK", 37)
    assert (precision_recall(*sets), density_coverage(*sets)) == whole


# === Originality ===


def test_nearest_neighbours_against_scikit_learn(sets):
    neighbors = reference("sklearn.neighbors").NearestNeighbors(n_neighbors=1).fit(sets[0])
    distances, indices = neighbors.kneighbors(sets[1])
    nearest = NearestNeighbour(sets[1])
    for start in range(0, 700, 90):
        nearest.update(sets[0][start : start + 90])
    np.testing.assert_allclose(nearest.distances, distances[:, 0], rtol=1e-4)
    np.testing.assert_array_equal(nearest.indices, indices[:, 0])


def test_copies_are_found_to_the_last_bit(sets):
    nearest = NearestNeighbour(sets[0][100:110] * 50)
    nearest.update(sets[0] * 50)
    assert nearest.distances.max() == 0.0
    assert nearest.indices.tolist() == list(range(100, 110))


def test_copying_against_mann_and_whitneys_u(sets):
    stats = reference("scipy.stats")
    generated, test = np.round(sets[0][:, 0], 1), np.round(sets[1][:, 0], 1)  # with ties
    u = stats.mannwhitneyu(test, generated).statistic
    assert copying(generated, test) == pytest.approx(u / (len(generated) * len(test)))


def test_copying_of_copies_is_1_and_of_new_images_a_half():
    random = np.random.default_rng(4)
    test = random.uniform(1, 2, 5000)
    assert copying(np.zeros(100), test) == 1.0
    assert copying(random.uniform(1, 2, 5000), test) == pytest.approx(0.5, abs=0.02)
    assert copying(np.full(100, 9.0), test) == 0.0


# === Classification, likelihood ===


def test_entropies_against_scipy():
    entropy = reference("scipy.stats").entropy
    p = np.random.default_rng(5).dirichlet(np.ones(10), size=50)
    assert prediction_entropy(p) == pytest.approx(entropy(p, axis=1).mean())
    assert class_entropy(p) == pytest.approx(entropy(p.mean(axis=0)))


def test_bits_per_dim_of_a_known_code():
    """256 equally probable values of a pixel are 8 bits, as probabilities and as a density."""
    assert bits_per_dim(np.full(3, 784 * np.log(1 / 256)), 784) == pytest.approx(8)
    assert bits_per_dim(np.zeros(3), 784, levels=256) == pytest.approx(8)
