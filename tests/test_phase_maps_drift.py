"""The stage's displacements that pass from spot to spot, and what analyses hold by accident."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm

import petro_models as petro
from petro_models.inference.whitened import sample_laplace
from petro_models.phase_maps import spot_drift
from petro_models.phase_maps.simulate import simulate_phase_maps
from petro_models.phase_maps.spot_predictions import predict_analyses

MEMORY = 4.0
NODES = spot_drift.NODES


def in_order(order):
    return SimpleNamespace(spot_order=np.asarray(order, float))


def steps_of(order):
    """Give the transitions of both directions at once, from the definition."""
    for gap in np.diff(order):
        kept = np.exp(-gap / MEMORY) if np.isfinite(gap) else 0.0
        step = norm.pdf(NODES[None, :], kept * NODES[:, None], np.sqrt(1 - kept**2))
        step /= step.sum(axis=1, keepdims=True)
        yield np.kron(step, step)


def test_other_spots_tell_of_a_displacement_as_sums_over_all_paths_do(generator):
    """Spots listed out of order, two of them further apart, one of unknown order."""
    order = np.array([3.0, 0.0, np.nan, 8.0, 1.0])
    emission = 2 * generator.normal(size=(5, len(NODES), len(NODES)))
    found = np.asarray(spot_drift.told_by_others(emission, MEMORY, in_order(order)))
    inorder = np.argsort(order)
    seen = np.exp(emission.reshape(5, -1)[inorder])
    steps = list(steps_of(order[inorder]))
    rest = np.kron(*[norm.pdf(NODES) / norm.pdf(NODES).sum()] * 2)
    for place, spot in enumerate(inorder):
        others = seen.copy()
        others[place] = 1
        before, after = rest, np.ones(rest.size)
        for s in range(place):
            before = (before * others[s]) @ steps[s]
        for s in range(4, place, -1):
            after = steps[s - 1] @ (others[s] * after)
        oracle = before * after / (before @ after)
        np.testing.assert_allclose(found[spot].ravel(), oracle, rtol=1e-8, atol=1e-12)
    # Nothing tells of the spot whose order is unknown.
    np.testing.assert_allclose(found[2].ravel(), rest, rtol=1e-6, atol=1e-9)


def test_drawn_displacements_remember_as_long_as_they_should(generator):
    order = np.arange(40_000.0)
    path = spot_drift.draw_path(order, MEMORY, generator)
    # The mean of n values that remember tau is as good as that of n / (2 tau).
    error = np.sqrt(2 * MEMORY / len(order))
    for lag in (1, 4, 8):
        alike = (path[lag:] * path[:-lag]).mean(axis=0)
        np.testing.assert_allclose(alike, np.exp(-lag / MEMORY), atol=4 * np.sqrt(2) * error)
    assert np.abs((path[:, 0] * path[:, 1]).mean()) < 4 * error


def drifting(drift, seed=5):
    maps, spots, _ = simulate_phase_maps(
        160, 160, 4, 6, n_spots=160, zoned=("Garnet",), mixed_share=0.4, registration_shift=(1, -1),
        registration_jitter=0.2, registration_drift=drift, registration_memory=8.0, seed=seed,
    )  # fmt: skip
    return maps, spots


def climbed(maps, spots):
    problem = petro.PhaseMaps(maps, spots)
    drawn = sample_laplace(problem.model, problem.start_of_climb(), draws=200, chains=4, seed=1)
    return problem, drawn.posterior


@pytest.mark.parametrize("drift", [0.0, 1.0])
def test_drift_is_found_where_there_is_some_and_nowhere_else(drift):
    found = climbed(*drifting(drift))[1]["registration_drift"]
    low, high = np.quantile(found, [0.025, 0.975])
    if drift:
        assert low < drift < high
        assert low > 0.5
    else:
        assert high < 0.5


def test_a_spot_is_predicted_better_where_its_neighbours_in_the_list_tell_of_the_drift():
    maps, spots = drifting(1.0)
    held = np.arange(spots.sizes["spot"]) % 4 == 1
    problem, posterior = climbed(maps, spots.isel(spot=~held))
    asked = spots.isel(spot=held)
    measured = asked["wt_percent"].sel(oxide=problem.data["oxide"].to_numpy()).to_numpy()
    told = predict_analyses(problem, posterior, asked)
    alone = predict_analyses(problem, posterior, asked.drop_vars("order"))

    def score(prediction):
        """Give the mean continuous ranked probability score, wt%: lower is better."""
        drawn = prediction["drawn"].to_numpy()
        half = len(drawn) // 2
        apart = np.abs(drawn[:half] - drawn[half : 2 * half]).mean(axis=0)
        return (np.abs(drawn - measured).mean(axis=0) - 0.5 * apart).mean()

    assert score(told) < 0.95 * score(alone)


def test_without_spots_no_analysis_is_predicted():
    maps, spots, _ = simulate_phase_maps(48, 48, 3, 4, n_spots=24, seed=2)
    placed = {
        name: [int(spots[name].sel(spot=s)) for s in ("1", "2", "3")] for name in ("column", "row")
    }
    seeds = petro.phase_seeds(["A", "B", "C"], **placed)
    formulae = {"A": "SiO2", "B": {"SiO2": 45, "Al2O3": 35}, "C": {"SiO2": 37, "FeO": 30}}
    problem = petro.PhaseMaps(maps, seeds=seeds, phases=formulae)
    with pytest.raises(petro.DataError, match="fit without spots"):
        predict_analyses(problem, None, spots)


def test_an_oxide_that_no_phase_holds_so_much_of_is_left_out_of_its_analysis():
    maps, spots, _ = simulate_phase_maps(96, 96, 3, 5, n_spots=45, seed=2)
    oxide = str(spots["oxide"].values[-1])
    values = spots["wt_percent"].copy()
    most = float(values.sel(oxide=oxide).max())
    lightest = int(values.sum("oxide").to_numpy().argmin())
    name = str(spots["spot"].values[lightest])
    values[lightest, -1] = most + 8
    problem = petro.PhaseMaps(maps, spots.assign(wt_percent=values))
    seen = problem.observations.spot_composition
    column = list(problem.data["oxide"].values).index(oxide)
    np.testing.assert_array_equal(np.argwhere(np.isnan(seen)), [[lightest, column]])
    assert f"{oxide} of spots {name} ({most + 8:.2f} wt%)" in problem.data.attrs["notes"]
    # What was measured stays in the data.
    assert float(problem.data["wt_percent"].sel(spot=name, oxide=oxide)) == most + 8
