import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from petro_models.errors import DataError
from petro_models.phase_maps.data import validate_maps, validate_spots
from petro_models.phase_maps.simulate import AXES, MINERALS, OXIDES, simulate_phase_maps

PURE = 0.999


def small(**options):
    """Simulate 72 x 64 pixels of five phases and seven elements, none zoned unless asked for."""
    chosen = {"height": 72, "width": 64, "n_phases": 5, "n_elements": 7, "zoned": (), "seed": 11}
    return simulate_phase_maps(**chosen | options)


def expected_counts(truth):
    """Give what each pixel emits where no phase is zoned (element, y, x)."""
    return np.einsum("kyx,ke->eyx", truth["phase_fraction"], truth["phase_intensity"])


def squared_deviation(maps, expected):
    """Give the mean of (n - lambda)^2 / lambda, and its standard error were the counts Poisson."""
    deviation = (maps["counts"].to_numpy() - expected) ** 2 / expected
    # Var[(n - l)^2 / l] = 2 + 1 / l for Poisson counts.
    return deviation.mean(), np.sqrt((2 + (1 / expected).mean()) / deviation.size)


# -- maps ----------------------------------------------------------------------------------------


def test_maps_and_spots_follow_the_schemas_of_measured_ones():
    maps, spots, truth = small(zoned=("Garnet",), dead_time_ns=500.0, wrong_labels=3)
    validate_maps(maps)
    validate_spots(spots, maps)
    assert maps["counts"].dims == ("element", "y", "x")
    assert maps["counts"].shape == (7, 72, 64)
    np.testing.assert_allclose(truth["phase_fraction"].sum("phase"), 1, atol=1e-6)
    assert list(truth["phase"].values) == list(MINERALS)[:5]
    assert list(maps["element"].values) == list(OXIDES.values())[:7]


def test_counts_are_poisson_about_the_mixture_of_their_phases():
    maps, _, truth = small()
    expected = expected_counts(truth)
    deviation, error = squared_deviation(maps, expected)
    assert deviation == pytest.approx(1.0, abs=4 * error)
    for element, counts in enumerate(maps["counts"].to_numpy()):
        total = expected[element].sum()
        assert counts.sum() == pytest.approx(total, abs=4 * np.sqrt(total))


@pytest.mark.parametrize("counts", [100.0, 2500.0])
def test_phases_emit_on_average_the_counts_asked_for(counts):
    _, _, truth = small(counts_per_pixel=counts, height=30, width=30)
    assert truth["phase_intensity"].sum("element").mean() == pytest.approx(counts)


@pytest.mark.parametrize("asked", [0.08, 0.13, 0.3])
def test_about_the_share_of_pixels_asked_for_is_mixed(asked):
    shares = [
        float((small(height=128, width=128, mixed_share=asked, seed=seed, n_spots=5)[2]
               ["phase_fraction"].max("phase") < PURE).mean())
        for seed in range(3)
    ]  # fmt: skip
    # Some hundred grains: the length of their boundaries scatters by a tenth from map to map.
    assert np.mean(shares) == pytest.approx(asked, rel=0.2)


def test_compositions_of_pixels_mix_the_phases_by_fraction():
    _, _, truth = small()
    mixed = np.einsum("kyx,ko->oyx", truth["phase_fraction"], truth["phase_composition"])
    np.testing.assert_allclose(truth["composition"], mixed, rtol=1e-5, atol=1e-5)


def test_phases_have_about_the_composition_of_their_minerals():
    _, _, truth = small()
    for name in truth["phase"].values:
        for oxide in truth["oxide"].values:
            book = MINERALS[str(name)].get(str(oxide), 0.0)
            found = float(truth["phase_composition"].sel(phase=name, oxide=oxide))
            # Varied by 2 %; a trace of everything, but for pure SiO2.
            assert found == pytest.approx(book, rel=0.08, abs=0.021)


def test_a_zoned_phase_runs_smoothly_along_its_axis_with_unit_variance():
    _, _, truth = small(zoned=("Garnet",), height=128, width=128)
    pure = truth["phase_fraction"].sel(phase="Garnet").to_numpy() > PURE
    z = truth["axis_position"].sel(phase="Garnet").to_numpy()
    assert z.mean() == pytest.approx(0, abs=0.01)
    assert z.std() == pytest.approx(1, abs=0.03)
    iron = truth["composition"].sel(oxide="FeO").to_numpy()
    slope, level = np.polyfit(z[pure], iron[pure], 1)
    assert slope == pytest.approx(AXES["Garnet"]["FeO"], rel=1e-3)
    assert level == pytest.approx(
        float(truth["phase_composition"].sel(phase="Garnet", oxide="FeO")), rel=1e-3
    )
    # Neighbours are alike: what is left after averaging 3 x 3 pixels is small.
    assert (z - uniform_filter(z, 3))[pure].std() < 0.2


def test_unmodelled_scatter_adds_its_square_to_the_variance_of_counts():
    scatter = 0.1
    maps, _, truth = small(unmodelled_scatter=scatter, counts_per_pixel=4000.0)
    expected = expected_counts(truth)
    share = (truth["phase_fraction"].to_numpy()[:, None] ** 2) * (
        truth["phase_intensity"].to_numpy()[:, :, None, None] ** 2
    )
    wanted = 1 + (scatter**2 * share.sum(axis=0) / expected).mean()
    deviation, _ = squared_deviation(maps, expected)
    assert wanted > 3
    # The squares of the scatter itself have a relative error of a few percent.
    assert deviation == pytest.approx(wanted, rel=0.05)


def test_dead_time_loses_counts_and_makes_them_scatter_less_than_poisson():
    dead_time, dwell = 1500e-9, 0.02
    maps, _, truth = small(counts_per_pixel=8000.0, dead_time_ns=1e9 * dead_time)
    counts, share = maps["counts"].to_numpy(), dead_time / dwell
    pure = truth["phase_fraction"].max("phase").to_numpy() > PURE
    owner = truth["phase_fraction"].argmax("phase").to_numpy()
    for k in range(5):
        there = pure & (owner == k)
        for element, true in enumerate(truth["phase_intensity"].to_numpy()[k]):
            seen = counts[element][there]
            mean = true / (1 + true * share)
            variance = mean * (1 - mean * share) ** 2
            assert seen.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / there.sum()))
            if mean > 50:
                relative = 5 * np.sqrt(2 / there.sum())
                assert seen.var() == pytest.approx(variance, rel=relative)
    brightest = truth["phase_intensity"].to_numpy().max()
    assert brightest * share > 0.2


# -- spots ---------------------------------------------------------------------------------------


def test_spots_are_analyses_of_the_pixels_that_the_shift_leads_to():
    _, spots, truth = small(
        registration_shift=(2.0, -3.0), registration_jitter=0.0, zoned=("Garnet",)
    )
    column = spots["column"].to_numpy() + 2.0
    row = spots["row"].to_numpy() - 3.0
    np.testing.assert_allclose(column, np.rint(column), atol=1e-9)
    np.testing.assert_allclose(row, np.rint(row), atol=1e-9)
    there = truth["composition"].to_numpy()[
        :, np.rint(row).astype(int), np.rint(column).astype(int)
    ]
    residual = (spots["wt_percent"].to_numpy() - there.T) / spots["wt_percent_sd"].to_numpy()
    # Analyses below zero are set to zero, which only shortens residuals.
    assert np.abs(residual).max() < 4.5
    assert residual[there.T > 1].std() == pytest.approx(1, abs=0.15)


def test_jitter_scatters_nominal_positions_by_as_much_as_asked():
    still = small(registration_jitter=0.0, n_spots=400)[1]
    moved = small(registration_jitter=0.7, n_spots=400)[1]
    for name in ("column", "row"):
        off = moved[name].to_numpy() - still[name].to_numpy()
        assert off.std() == pytest.approx(0.7, rel=4 / np.sqrt(2 * 400))
        assert off.mean() == pytest.approx(0.0, abs=4 * 0.7 / np.sqrt(400))


def test_as_many_labels_are_wrong_as_asked_for():
    _, right, _ = small(registration_jitter=0.0, registration_shift=(0.0, 0.0), n_spots=60)
    _, wrong, _ = small(
        registration_jitter=0.0, registration_shift=(0.0, 0.0), n_spots=60, wrong_labels=7
    )
    np.testing.assert_array_equal(right["wt_percent"], wrong["wt_percent"])
    assert int((right["phase"] != wrong["phase"]).sum()) == 7


def test_every_phase_has_its_share_of_spots():
    _, spots, truth = small(n_phases=4, n_spots=60)
    numbers = [int((spots["phase"] == name).sum()) for name in truth["phase"].values]
    assert sum(numbers) == 60
    # 15 each, of which the tenth that lies anywhere takes at most three from one phase.
    assert min(numbers) >= 12


# -- seeds and errors ------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_maps_and_another_one_others():
    first, again, other = small(n_spots=20), small(n_spots=20), small(n_spots=20, seed=12)
    for one, two in zip(first, again, strict=True):
        assert one.identical(two)
    assert not first[0]["counts"].equals(other[0]["counts"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_phases": 1}, "2 to 12 phases .* got 1 and 7"),
        ({"n_phases": 13}, "2 to 12 phases"),
        ({"n_elements": 2}, "3 to 20 elements; got 5 and 2"),
        ({"n_elements": 21}, "3 to 20 elements"),
        ({"zoned": ("Garnet", "Quartz")}, "Quartz: zoned phases are Garnet, Chlorite"),
    ],
)
def test_what_cannot_be_simulated_is_refused_with_what_can(options, message):
    with pytest.raises(DataError, match=message):
        small(**options)
