"""The device of a piece of work: chosen by its size or by the user, and of no effect on answers.

JAX is told of four devices on the CPU; one of them stands for a GPU here.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytest
from small_phase_maps import seeded_problem

import petro_models as petro
from petro_models.errors import FitError
from petro_models.inference import devices
from petro_models.inference.devices import GPU_START, choose_device
from petro_models.inference.nuts import sample_nuts
from petro_models.inference.whitened import sample_hmc
from petro_models.phase_maps import neighbourhood, neighbours, pixel_kernels
from petro_models.phase_maps.observations import flat_counts
from petro_models.phase_maps.pixel_rows import UNDER_WAY
from petro_models.phase_maps.pixels import TILE, PixelEngine


@pytest.fixture
def gpu(monkeypatch):
    other = jax.local_devices()[1]
    monkeypatch.setattr(devices, "_gpu", lambda: other)
    return other


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(devices, "_gpu", lambda: None)


def test_work_goes_to_the_gpu_from_the_size_that_pays(gpu):
    cpu = jax.local_devices()[0]
    assert choose_device(0.5 * GPU_START) == cpu
    assert choose_device(2 * GPU_START) == gpu


@pytest.mark.usefixtures("gpu")
def test_work_is_measured_only_where_there_is_a_choice():
    asked = []

    def measure() -> float:
        asked.append("auto")
        return 2 * GPU_START

    with petro.use_device("gpu"):
        choose_device(measure)
    with petro.use_device("cpu"):
        choose_device(measure)
    assert not asked
    assert choose_device(measure) == jax.local_devices()[1]
    assert asked == ["auto"]


def test_the_user_leaves_no_choice(gpu, monkeypatch):
    with petro.use_device("gpu"):
        assert choose_device(0.0) == gpu
        with petro.use_device("cpu"):
            assert choose_device(1e6) == jax.local_devices()[0]
        assert choose_device(0.0) == gpu
    monkeypatch.setenv(devices.VARIABLE, "cpu")
    assert choose_device(1e6) == jax.local_devices()[0]
    with petro.use_device("auto"):
        assert choose_device(1e6) == gpu


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_all_runs_on_the_cpu_and_asking_for_one_says_what_to_do(monkeypatch):
    assert choose_device(1e6).platform == "cpu"
    with (
        pytest.raises(FitError, match=r"finds none.*petro_models\[cuda\]"),
        petro.use_device("gpu"),
    ):
        pass
    monkeypatch.setenv(devices.VARIABLE, "gpu")
    with pytest.raises(FitError, match="finds none"):
        choose_device(0.0)
    monkeypatch.setenv(devices.VARIABLE, "gpus")
    with pytest.raises(FitError, match="did you mean 'gpu'"):
        choose_device(0.0)


def test_small_work_stays_on_the_cpu_and_within_it_a_gpu_can_be_chosen():
    cpu, *_, other = jax.local_devices()

    def where():
        (device,) = jnp.zeros(3).devices()
        return device

    with jax.default_device(other):  # as if JAX had found a GPU first
        with devices.small_work():
            assert where() == cpu
            with devices.on(other):
                assert where() == other
            assert where() == cpu
        assert where() == other


def test_the_pixel_pass_gives_the_same_on_the_device_that_its_size_calls_for(gpu):
    problem, _ = seeded_problem(3, ("Garnet",), size=48)
    counts = flat_counts(problem.data)
    few, many = (PixelEngine.at_anchors(problem.observations, n) for n in (100, 10**10))
    assert (few.device, many.device) == (jax.local_devices()[0], gpu)
    one, other = few.compute(counts), many.compute(counts)
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)


def test_a_device_holds_no_more_of_a_large_map_than_of_a_small_one():
    problem, _ = seeded_problem(3, ("Garnet",), size=48)
    engine = PixelEngine.at_anchors(problem.observations)
    counts = flat_counts(problem.data)

    def most_bytes(tiles: int) -> int:
        held = []

        def look(_: int) -> None:
            held.append(sum(array.nbytes for array in jax.live_arrays()))

        engine.compute(np.resize(counts, (tiles * TILE, counts.shape[1])), look)
        return max(held)

    most_bytes(1)  # lays out the patches
    block = engine._sizes.patch[0] * 4 * 100  # values of a pixel are fewer than 100
    assert most_bytes(6) < most_bytes(2) + UNDER_WAY * block


def test_a_gpu_is_told_to_multiply_in_full_single_precision():
    """With 10 bits of each factor, as a GPU has by itself, fractions move by 0.02 and more."""
    problem = seeded_problem(3, ("Garnet",), size=48)[0]
    engine = PixelEngine.at_anchors(problem.observations)
    counts = flat_counts(problem.data)[:64].astype(np.float32)
    posterior, _ = engine.coarse_posterior(counts)
    frame, (nodes, _) = engine._single_frame, engine._patch((0, 1))
    unknown = (np.zeros(4, np.float32), np.ones(4, np.float32))
    beyond = engine.state.beyond_axes
    relation = np.eye(posterior.shape[1], dtype=np.float32)
    programs = (
        pixel_kernels.coarse_pass.lower(counts, frame, engine._coarse, unknown),
        pixel_kernels.choose_patch.lower(posterior, engine._coarse),
        pixel_kernels.integrate.lower(counts, posterior, frame, engine._outside, nodes, beyond),
        neighbourhood.log_odds.lower(posterior, relation[0], relation),
        neighbours._of_rows.lower(posterior, relation[0], relation, 1.0, relation[0], width=8),
    )
    for program in programs:
        products = [line for line in program.as_text().splitlines() if "dot_general" in line]
        assert products
        assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)


def sampled_after_a_climb(model):
    return sample_hmc(model, {}, draws=50, chains=4, tune=50, seed=3)


def sampled_at_once(model):
    return sample_nuts(model, draws=50, chains=4, tune=50, seed=3)


@pytest.mark.parametrize("sample", [sampled_after_a_climb, sampled_at_once])
def test_chains_on_the_cores_beside_a_gpu_are_those_of_a_machine_without(sample, monkeypatch):
    with pm.Model(coords={"place": range(3)}) as model:
        level = pm.Normal("level", 0, 1, dims="place")
        pm.Normal("seen", level, 0.5, observed=np.array([0.2, -1.0, 0.7]), dims="place")

    def sampled():
        result = sample(model)
        assert result.notes["device"] == "cpu"
        return result.posterior["level"]

    alone = sampled()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    np.testing.assert_allclose(sampled(), alone, rtol=1e-12)
