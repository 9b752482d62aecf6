import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import map_coordinates, uniform_filter
from sklearn.metrics import adjusted_rand_score
from small_phase_maps import compositions, seeded_problem, seeds_of

from petro_models.errors import DataError, FitError
from petro_models.phase_maps.data import phase_seeds
from petro_models.phase_maps.formula_weights import oxide_weights
from petro_models.phase_maps.inputs import merge_inputs
from petro_models.phase_maps.observations import cells_of
from petro_models.phase_maps.problem import PhaseMaps
from petro_models.phase_maps.registration import coarse_shift, local_counts
from petro_models.phase_maps.simulate import simulate_phase_maps


@pytest.fixture(scope="module")
def simulated():
    """Five phases, seven elements, 60 spots where they are said to be."""
    return simulate_phase_maps(
        72, 72, 5, 7, 1000.0, n_spots=60, registration_shift=(0.0, 0.0), seed=2
    )


def unlabelled(spots):
    return spots.assign(phase=("spot", np.array([""] * spots.sizes["spot"])))


def relative_error(data, truth):
    """Compare rough intensities of the phases with what they emit, where they emit at all."""
    names = data["phase"].values
    expected = truth["phase_intensity"].sel(phase=names).to_numpy()
    return np.abs(data["first_intensity"].to_numpy() - expected) / (expected + 10)


# -- where phases come from ----------------------------------------------------------------------


def test_phases_come_from_the_labels_of_the_spots_in_their_order(simulated):
    maps, spots, truth = simulated
    data = merge_inputs(maps, spots)
    assert list(data["phase"].values) == list(dict.fromkeys(spots["phase"].values))
    assert set(data["phase"].values) == set(truth["phase"].values)
    np.testing.assert_array_equal(data["spot_label"], spots["phase"])
    assert np.median(relative_error(data, truth)) < 0.1


def test_spots_without_a_label_stay_without_one(simulated):
    maps, spots, _ = simulated
    labels = spots["phase"].to_numpy().copy()
    labels[::3] = ""
    data = merge_inputs(maps, spots.assign(phase=("spot", labels)))
    np.testing.assert_array_equal(data["spot_label"], labels)


def test_phases_come_from_seeds_where_no_spot_is_labelled(simulated):
    maps, spots, truth = simulated
    seeds = seeds_of(truth)
    data = merge_inputs(maps, unlabelled(spots), seeds=seeds)
    assert list(data["phase"].values) == list(seeds["phase"].values)
    # Medians of 25 pixels inside grains, each of which counts some tens at least.
    assert relative_error(data, truth).max() < 0.35
    assert np.isnan(data["density_kg_m3"]).all()


def test_seeds_add_the_phases_that_no_spot_is_labelled_with(simulated):
    maps, spots, truth = simulated
    some = spots.isel(spot=spots["phase"].to_numpy() != "Biotite")
    data = merge_inputs(maps, some, seeds=seeds_of(truth))
    assert list(data["phase"].values)[-1] == "Biotite"
    assert data.sizes["phase"] == 5


def test_densities_come_with_the_seeds(simulated):
    maps, spots, truth = simulated
    seeds = seeds_of(truth).assign(
        density_kg_m3=("phase", np.array([2650.0, 4000.0, 2830.0, 3000.0, 2660.0]))
    )
    data = merge_inputs(maps, spots, seeds=seeds)
    for name in ("Garnet", "Quartz"):
        assert data["density_kg_m3"].sel(phase=name) == seeds["density_kg_m3"].sel(phase=name)


def test_a_formula_stands_for_spots_and_predicts_what_the_phase_emits(simulated):
    maps, spots, truth = simulated
    names = [str(name) for name in truth["phase"].values]
    some = spots.isel(spot=spots["phase"].to_numpy() != "Quartz")
    phases = {name: "SiO2" if name == "Quartz" else None for name in names}
    data = merge_inputs(maps, some, phases=phases)
    quartz = data.sel(phase="Quartz")
    assert float(quartz["formula_wt_percent"].sel(oxide="SiO2")) == pytest.approx(100)
    assert float(quartz["formula_wt_percent"].sel(oxide="FeO")) == 0
    assert np.isnan(data["formula_wt_percent"].sel(phase="Garnet")).all()
    expected = float(truth["phase_intensity"].sel(phase="Quartz", element="Si"))
    # Matrix factors differ by 5 % from phase to phase, and the line reaches beyond the spots.
    found = float(quartz["first_intensity"].sel(element="Si"))
    assert found == pytest.approx(expected, rel=0.3)


def test_unlabelled_spots_fall_into_groups_that_are_the_phases():
    maps, spots, _ = simulate_phase_maps(
        72, 72, 4, 7, n_spots=80, registration_shift=(0.0, 0.0), zoned=(), seed=5
    )
    data = merge_inputs(maps, unlabelled(spots))
    group = data["spot_label"].to_numpy()
    sure = group != ""
    assert sure.mean() > 0.8
    # Mixed spots may make a group of their own: not all agree.
    assert adjusted_rand_score(spots["phase"].to_numpy()[sure], group[sure]) > 0.85
    assert all(name.startswith("group ") for name in data["phase"].values)


def test_names_alone_choose_and_order_the_phases(simulated):
    maps, spots, truth = simulated
    names = sorted(map(str, truth["phase"].values))
    assert list(merge_inputs(maps, spots, phases=names)["phase"].values) == names


def test_only_oxides_of_mapped_elements_are_calibrated(simulated):
    maps, spots, _ = simulated
    data = merge_inputs(maps.isel(element=[0, 1, 2, 4]), spots)
    assert list(data["oxide"].values) == ["SiO2", "Al2O3", "FeO", "CaO"]
    assert list(data["cation"].values) == ["Si", "Al", "Fe", "Ca"]


# -- registration --------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-6, 5)])
def test_the_coarse_shift_is_found_to_a_pixel(shift):
    maps, spots, _ = simulate_phase_maps(
        72, 72, 4, 5, n_spots=60, registration_shift=shift, registration_jitter=0.3, seed=8
    )
    assert np.abs(coarse_shift(maps, spots) - shift).max() <= 1


def test_too_few_spots_tell_no_shift(simulated):
    maps, spots, _ = simulated
    np.testing.assert_array_equal(coarse_shift(maps, spots.isel(spot=slice(7))), [0, 0])


def test_counts_near_a_spot_are_the_mean_of_nine_pixels_at_the_shifted_place(simulated):
    maps, spots, _ = simulated
    counts = maps["counts"].to_numpy().astype(float)
    placed = spots.assign(
        column=spots["column"].round().clip(10, 60), row=spots["row"].round().clip(10, 60)
    )
    found = local_counts(maps, placed, np.array([2.0, -1.0]))
    for index in range(0, placed.sizes["spot"], 7):
        row, column = int(placed["row"][index]) - 1, int(placed["column"][index]) + 2
        block = counts[:, row - 1 : row + 2, column - 1 : column + 2]
        np.testing.assert_allclose(found[index], block.mean(axis=(1, 2)))


def test_counts_between_pixels_and_beyond_the_edge_are_those_of_the_smoothed_map(
    simulated, generator
):
    maps, spots, _ = simulated
    count = spots.sizes["spot"]
    row, column = generator.uniform(-4, 76, (2, count))
    placed = spots.assign(column=("spot", column), row=("spot", row))
    found = local_counts(maps, placed, np.zeros(2))
    for e, counts in enumerate(maps["counts"].to_numpy().astype(float)):
        smooth = uniform_filter(counts, 3)
        expected = map_coordinates(smooth, [row, column], order=1, mode="nearest")
        np.testing.assert_allclose(found[:, e], expected, rtol=1e-12)


# -- formulae ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        # Ideal compositions worked out by hand from the atomic weights, as in Deer et al.
        ("SiO2", {"SiO2": 100.0}),
        ("Mg2SiO4", {"MgO": 57.29, "SiO2": 42.71}),
        ("Fe3Al2(SiO4)3", {"FeO": 43.30, "Al2O3": 20.49, "SiO2": 36.21}),
        ("NaAlSi3O8", {"Na2O": 11.82, "Al2O3": 19.44, "SiO2": 68.74}),
        ("CaCO3", {"CaO": 56.03, "CO2": 43.97}),
        (
            "KAl2(AlSi3O10)(OH)2",
            {"K2O": 11.82, "Al2O3": 38.40, "SiO2": 45.26, "H2O": 4.52},
        ),
        ("Ca5(PO4)3F0.5(OH)0.5", None),
    ],
)
def test_formulae_give_the_oxide_weights_of_known_minerals(formula, expected):
    if expected is None:
        with pytest.raises(DataError, match="no usual oxide of F"):
            oxide_weights(formula)
        return
    found = oxide_weights(formula)
    assert set(found) == set(expected)
    for oxide, weight in expected.items():
        assert found[oxide] == pytest.approx(weight, abs=0.02)
    assert sum(found.values()) == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("", "open bracket or is empty"),
        ("SiO2!", r"cannot be read at '!'"),
        ("Mg(SiO3", "open bracket"),
        ("MgSiO3)", r"cannot be read at '\)'"),
        ("Qz", "no usual oxide of Qz"),
        ("Fe", "not an oxide's formula"),
        ("NaCl", "no usual oxide of Cl"),
    ],
)
def test_what_is_no_formula_is_refused(formula, message):
    with pytest.raises(DataError, match=message):
        oxide_weights(formula)


# -- errors --------------------------------------------------------------------------------------


def five_names(spots):
    return list(dict.fromkeys(map(str, spots["phase"].values)))


@pytest.mark.parametrize(
    ("merge", "message"),
    [
        (lambda m, s, t: merge_inputs(m), "nothing says what phases there are"),
        (
            lambda m, s, t: merge_inputs(m, s, phases=["Quartz", "Garnet", "Biotit"]),
            "labelled 'Biotite', .* did you mean 'Biotit'",
        ),
        (
            lambda m, s, t: merge_inputs(m, s.isel(spot=[0, 5])),
            "needs two phases or more; got Quartz",
        ),
        (
            lambda m, s, t: merge_inputs(m, unlabelled(s.isel(spot=slice(6)))),
            "too few spots to group them",
        ),
        (lambda m, s, t: merge_inputs(m.isel(element=[0]), s), "at least two elements"),
        (
            lambda m, s, t: merge_inputs(m.isel(element=[0, 1]), s.isel(oxide=[2, 3])),
            r"\(FeO, MgO\) belongs to a mapped element \(Si, Al\)",
        ),
        (
            lambda m, s, t: merge_inputs(m, s, phases=[*five_names(s), "Rutile"]),
            "Rutile: no labelled spot, seed or composition",
        ),
        (
            lambda m, s, t: merge_inputs(m, phases=compositions(t)),
            "without spots, every phase needs a seed",
        ),
        (
            lambda m, s, t: merge_inputs(
                m, s, seeds=phase_seeds(["Quartz"], column=[500.0], row=[3.0])
            ),
            r"seed of Quartz \(column 500, row 3\) lies outside the map of 72 columns",
        ),
        (
            lambda m, s, t: merge_inputs(m, s, phases=dict.fromkeys(five_names(s), "SiO")
                                         | {"Garnet": "Fe3Al2(SiO4"}),
            r"formula 'Fe3Al2\(SiO4' has an open bracket",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_merged_says_what_is_missing(simulated, merge, message):
    with pytest.raises(DataError, match=message):
        merge(*simulated)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"axes": "thre"}, FitError, "axes='thre' is not known"),
        ({"mixtures": "pair"}, FitError, "did you mean 'pairs'"),
        ({"neighbours": "pots"}, FitError, "did you mean 'potts'"),
        ({"pixels": 50}, DataError, "at least 200; got 50"),
        ({"pixels": "many"}, DataError, "got many"),
    ],
)
def test_unknown_options_are_refused_with_the_known_ones(simulated, options, error, message):
    maps, spots, _ = simulated
    with pytest.raises(error, match=message):
        PhaseMaps(maps, spots, **options)


def test_maps_that_are_no_counts_are_refused(simulated):
    maps, spots, _ = simulated
    with pytest.raises(DataError, match="counts are float64, not whole numbers"):
        PhaseMaps(maps.assign(counts=maps["counts"] * 1.5), spots)
    quantified = xr.Dataset({"wt_percent": maps["counts"]})
    with pytest.raises(DataError, match="hold wt%, not counts"):
        PhaseMaps(quantified, spots)


def test_spots_far_outside_the_map_are_named(simulated):
    maps, spots, _ = simulated
    column = spots["column"].to_numpy().copy()
    column[[3, 8]] = 900.0
    with pytest.raises(DataError, match="spots 4, 9 lie outside the map of 72 columns"):
        PhaseMaps(maps, spots.assign(column=("spot", column)), pixels=200)


def test_a_spot_without_a_position_is_named(simulated):
    maps, spots, _ = simulated
    column, row = spots["column"].to_numpy().copy(), spots["row"].to_numpy().copy()
    column[3] = row[3] = np.nan
    with pytest.raises(DataError, match=r"\b4\b.* no position"):
        merge_inputs(maps, spots.assign(column=("spot", column), row=("spot", row)))


def test_a_fine_mixture_of_three_phases_is_no_class_beside_three_phases():
    problem, _ = seeded_problem(3, ())
    assert problem.observations.cells.classes[-2:] == ["three phases", "unknown"]
    four, _ = seeded_problem(4, ())
    assert four.observations.cells.classes[-3:] == ["three phases", "fine mixture", "unknown"]


def test_data_stored_with_their_classes_keep_them():
    data = seeded_problem(3, ())[0].data
    classes = [*data["pixel_class"].values[:-1], "fine mixture", "unknown"]
    stored = data.drop_dims("pixel_class").assign_coords(pixel_class=classes)
    assert cells_of(stored, {"mixtures": "all"}).classes == classes
