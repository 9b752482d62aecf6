import math

import numpy as np
import pandas as pd
import pytest

from petro_models.errors import DataError
from petro_models.phase_maps.data import (
    composition_maps,
    epma_maps,
    epma_spots,
    phase_seeds,
    pixel_positions,
    validate_maps,
    validate_seeds,
    validate_spots,
)

SI = np.array([[900, 910, 20], [905, 30, 25]])
AL = np.array([[10, 12, 700], [9, 690, 705]])
# Columns towards smaller stage x, as on JEOL: the first pixel is at x = 1.004 mm, y = 2 mm.
AFFINE = [[-500.0, 0.0, 502.0], [0.0, 500.0, -1000.0]]


def small_maps(**conditions):
    return epma_maps({"Si": SI, "Al": AL}, **conditions)


def small_spots(**given):
    table = pd.DataFrame({"SiO2": [99.5, 45.0], "Al2O3": [0.1, 36.0]}, index=["q", "m"])
    return epma_spots(table, **given)


# Maps


def test_maps_hold_whole_counts_in_the_order_of_the_image():
    maps = small_maps(step_um=2.0, dwell_s={"Si": 0.1}, probe_current_nA=100.0)
    assert maps["counts"].dims == ("element", "y", "x")
    assert maps["counts"].dtype == np.int32
    assert maps["counts"].sel(element="Al").values.tolist() == AL.tolist()
    assert maps["counts"].attrs["units"] == "counts"
    assert maps["x"].values.tolist() == [0, 2, 4]
    assert maps["y"].attrs["units"] == "um"
    assert maps["dwell_s"].sel(element="Si").item() == 0.1
    assert math.isnan(maps["dwell_s"].sel(element="Al").item())
    assert maps["probe_current_nA"].item() == 100


def test_maps_without_a_step_are_in_pixels_and_say_what_is_not_known():
    maps = small_maps()
    assert maps["x"].attrs["units"] == "pixel"
    assert maps["x"].values.tolist() == [0, 1, 2]
    for name in ("step_um", "probe_current_nA", "dwell_s", "dead_time_ns", "stage_to_pixel"):
        assert np.isnan(maps[name].values).all()


def test_pixels_that_are_not_square_have_a_step_along_each_side():
    maps = small_maps(step_um=(2.0, 3.0))
    assert maps["x"].values.tolist() == [0, 2, 4]
    assert maps["y"].values.tolist() == [0, 3]
    assert math.isnan(maps["step_um"].item())


def test_floats_that_are_whole_are_counts():
    assert epma_maps({"Si": SI.astype(float)})["counts"].dtype == np.int32


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (12.5, "12.5 is not a whole number of counts; export raw counts"),
        (-3, "-3 is negative, which counts cannot be"),
        (np.nan, "nan is no measurement; crop the map"),
        (np.inf, "inf is no measurement"),
        (1e12, r"1e\+12 is more than a detector can count"),
    ],
)
def test_what_is_no_count_is_refused_with_its_pixel(value, message):
    wrong = SI.astype(float)
    wrong[1, 2] = value
    with pytest.raises(DataError, match=f"map of Si, image row 1, column 2 .from 0.: {message}"):
        epma_maps({"Al": AL, "Si": wrong})


def test_message_says_how_many_pixels_are_no_counts():
    with pytest.raises(DataError, match="6 such pixels"):
        epma_maps({"Si": SI + 0.5})


def test_a_mask_or_a_cube_is_no_map():
    with pytest.raises(DataError, match="holds bool, not numbers"):
        epma_maps({"Si": SI > 100})
    with pytest.raises(DataError, match="a map is a matrix"):
        epma_maps({"Si": np.zeros((2, 2, 2))})


def test_maps_of_unequal_shape_are_refused_by_name():
    with pytest.raises(DataError, match=r"map of Al: 1 rows and 3 .* map of Si has 2 rows and 3"):
        epma_maps({"Si": SI, "Al": AL[:1]})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SiO2", "'SiO2' is not an element symbol; give the element, 'Si'"),
        ("Xx", "'Xx' is not an element symbol"),
    ],
)
def test_labels_that_are_no_elements_are_refused(name, message):
    with pytest.raises(DataError, match=message):
        epma_maps({name: SI})


def test_impossible_conditions_are_refused():
    with pytest.raises(DataError, match="dwell_s: 'Sl' has no map; did you mean 'Si'"):
        small_maps(dwell_s={"Sl": 0.1})
    with pytest.raises(DataError, match="dwell_s is 0; it is positive"):
        small_maps(dwell_s=0)
    with pytest.raises(DataError, match="probe_current_nA is 'high'; give a number"):
        small_maps(probe_current_nA="high")
    with pytest.raises(DataError, match="the distance of pixels is positive"):
        small_maps(step_um=-1.0)
    with pytest.raises(DataError, match="a dead time is >= 0"):
        small_maps(dead_time_ns=-5)
    with pytest.raises(DataError, match="one to one"):
        small_maps(stage_to_pixel=[[1, 2, 0], [2, 4, 0]])
    with pytest.raises(DataError, match=r"stage_to_pixel has shape \(2, 2\)"):
        small_maps(stage_to_pixel=np.eye(2))


def test_validation_finds_what_was_spoilt_later():
    maps = small_maps(step_um=2.0)
    validate_maps(maps)
    with pytest.raises(DataError, match="variable 'dwell_s' is missing"):
        validate_maps(maps.drop_vars("dwell_s"))
    with pytest.raises(DataError, match="counts are float64, not whole numbers"):
        validate_maps(maps.assign(counts=maps["counts"] / 2))
    with pytest.raises(DataError, match="counts of 'Si' are negative at row 0, column 2"):
        validate_maps(maps.assign(counts=maps["counts"] - 21))
    with pytest.raises(DataError, match="'x' must grow"):
        validate_maps(maps.assign_coords(x=[4.0, 2.0, 0.0]))
    with pytest.raises(DataError, match="units None; allowed: um, pixel"):
        validate_maps(maps.assign_coords(x=[0.0, 2.0, 4.0]))
    with pytest.raises(DataError, match="no xarray Dataset"):
        validate_maps(maps["counts"])


def test_quantified_maps_are_not_taken_for_counts():
    quantified = composition_maps({"SiO2": SI / 10.0}, step_um=1.0)
    assert quantified["wt_percent"].dims == ("oxide", "y", "x")
    with pytest.raises(DataError, match="hold wt%, not counts"):
        validate_maps(quantified)


# Spots


def test_spots_are_placed_by_the_stage_where_whole_numbers_are_pixel_centres():
    maps = small_maps(step_um=2.0, stage_to_pixel=AFFINE)
    spots = small_spots(stage_x=[1.004, 1.001], stage_y=[2.0, 2.001], maps=maps)
    np.testing.assert_allclose(spots["column"], [0, 1.5], atol=1e-9)
    np.testing.assert_allclose(spots["row"], [0, 0.5], atol=1e-9)
    assert spots["cation"].values.tolist() == ["Si", "Al"]
    assert spots["phase"].values.tolist() == ["", ""]
    assert np.isnan(spots["wt_percent_sd"].values).all()


def test_positions_that_are_given_win_over_the_stage():
    maps = small_maps(stage_to_pixel=AFFINE)
    spots = small_spots(
        column=[1.0, 2.0], row=[0.0, 1.0], stage_x=[1.004, 1.0], stage_y=[2.0, 2.0], maps=maps
    )
    assert spots["column"].values.tolist() == [1, 2]
    assert spots["stage_x"].values.tolist() == [1.004, 1.0]


def test_spots_without_maps_have_no_position():
    spots = small_spots(stage_x=[1.0, 2.0], stage_y=[1.0, 2.0])
    assert np.isnan(spots["column"]).all()


def test_errors_are_aligned_by_label():
    errors = pd.DataFrame({"SiO2": [0.4, 0.7]}, index=["m", "q"])
    spots = small_spots(wt_percent_sd=errors)
    assert spots["wt_percent_sd"].sel(oxide="SiO2").values.tolist() == [0.7, 0.4]
    assert np.isnan(spots["wt_percent_sd"].sel(oxide="Al2O3")).all()
    with pytest.raises(DataError, match="error of 'SiO', which has no analyses; did you mean"):
        small_spots(wt_percent_sd=errors.rename(columns={"SiO2": "SiO"}))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"Xx2O3": [1.0]}, "'Xx2O3' is not an oxide"),
        ({"FeO": [10.0], "Fe2O3": [1.0]}, "Fe is given by FeO and Fe2O3"),
        ({"SiO2": [450.0]}, "wt_percent of SiO2 in spot '0' is 450; it must be in wt%, -2 to 110"),
        ({"SiO2": [-9.0]}, "it must be in wt%"),
        ({"SiO2": [60.0], "Al2O3": [70.0]}, "adds up to 130.0 wt%"),
        ({"SiO2": [np.nan]}, "spot '0' has no analysis"),
        ({"SiO2": ["much"]}, "an analysis is not a number"),
    ],
)
def test_impossible_analyses_are_refused(columns, message):
    with pytest.raises(DataError, match=message):
        epma_spots(pd.DataFrame(columns))


def test_small_negative_analyses_are_counting_noise():
    assert epma_spots(pd.DataFrame({"SiO2": [99.0], "MgO": [-0.02]})).sizes["spot"] == 1


def test_labels_and_lengths_of_spots_are_checked():
    with pytest.raises(DataError, match="spot label 'a' stands more than once"):
        epma_spots(pd.DataFrame({"SiO2": [1.0, 2.0]}, index=["a", "a"]))
    with pytest.raises(DataError, match="column has shape"):
        small_spots(column=[1.0], row=[1.0])
    with pytest.raises(DataError, match="a column but no row"):
        small_spots(column=[1.0, 2.0])
    with pytest.raises(DataError, match="outside='dorp' is not known; did you mean 'drop'"):
        small_spots(outside="dorp")


def test_the_outer_half_of_an_edge_pixel_belongs_to_the_map():
    maps = small_maps()
    spots = small_spots(column=[-0.5, 2.5], row=[-0.4, 1.5], maps=maps)
    assert spots.sizes["spot"] == 2


def test_spots_outside_the_map_stop_unless_the_caller_decides():
    maps = small_maps()
    place = {"column": [1.0, 2.6], "row": [1.0, 0.0], "maps": maps}
    with pytest.raises(DataError, match=r"1 of 2 spots lie outside .* 'm' at column 2.6, row 0.0"):
        small_spots(**place)
    dropped = small_spots(**place, outside="drop")
    assert dropped["spot"].values.tolist() == ["q"]
    assert "1 spots outside the map left out" in dropped.attrs["notes"]
    kept = small_spots(**place, outside="unplace")
    assert np.isnan(kept["column"]).values.tolist() == [False, True]
    assert np.isnan(kept["row"]).values.tolist() == [False, True]
    assert kept["row"].attrs["units"] == "pixel"


def test_all_spots_outside_cannot_all_be_dropped():
    with pytest.raises(DataError, match="2 of 2 spots lie outside the map"):
        small_spots(column=[50.0, 60.0], row=[1.0, 1.0], maps=small_maps(), outside="drop")


def test_validation_of_spots_asks_for_cations_and_the_map():
    spots = small_spots(column=[1.0, 9.0], row=[1.0, 1.0])
    validate_spots(spots)
    with pytest.raises(DataError, match="coordinate 'cation'"):
        validate_spots(spots.drop_vars("cation"))
    with pytest.raises(DataError, match="1 of 2 spots lie outside"):
        validate_spots(spots, small_maps())


def test_affine_turns_back_what_it_turned():
    column, row = pixel_positions(np.array([1.0]), np.array([2.002]), AFFINE)
    np.testing.assert_allclose([column[0], row[0]], [2.0, 1.0], atol=1e-9)


# Seeds


def test_seeds_name_a_pixel_and_a_density_of_each_phase():
    maps = small_maps()
    seeds = phase_seeds(["Quartz", "Mica"], [0, 2], [0, 1], density_kg_m3=[2650, np.nan], maps=maps)
    assert seeds["density_kg_m3"].sel(phase="Quartz").item() == 2650
    validate_seeds(seeds, maps)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"column": [3, 1]}, "seed of 'Quartz' lies outside the map: column 3"),
        ({"row": [np.nan, 1]}, "row of a seed is not a number"),
        ({"density_kg_m3": [2.65, 2.8]}, "density_kg_m3 of 'Quartz' is 2.65; minerals have"),
        ({"phases": ["Mica", "Mica"]}, "phase label 'Mica' stands more than once"),
    ],
)
def test_impossible_seeds_are_refused(given, message):
    seeds = {"phases": ["Quartz", "Mica"], "column": [0, 1], "row": [0, 1], **given}
    with pytest.raises(DataError, match=message):
        phase_seeds(**seeds, maps=small_maps())
