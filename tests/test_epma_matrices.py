import numpy as np
import pytest
from epma_files import (
    COUNTS,
    csv_matrices,
    hdf5,
    numpy_archive,
    numpy_array,
    replace_in,
    tiff,
)

from petro_models import datasets
from petro_models.errors import DataError, FormatError
from petro_models.io.epma import read_epma
from petro_models.phase_maps.data import validate_maps, validate_spots


def test_epmatools_demo_has_twelve_elements_and_labelled_phases(real_data):
    maps, spots, seeds = datasets.epmatools_demo()
    validate_maps(maps)
    validate_spots(spots)
    assert maps["counts"].shape == (12, 230, 270)
    assert "map 'COMPO' left out: an electron image" in maps.attrs["notes"]
    assert spots.sizes["spot"] == 16
    assert set(spots["phase"].values) == {"bt", "chl", "pa", "cd", "pl", "g", "st", "ms"}
    at = {"x": seeds["column"].astype(int), "y": seeds["row"].astype(int)}
    seen = maps["counts"].isel(at)
    # Each labelled phase is brightest in the element that makes it.
    brightest = {"Qtz": "Si", "Ru": "Ti", "Grt": "Mn", "Bt": "Na", "Chl": "Mg"}
    for phase, element in brightest.items():
        assert seen.sel(element=element).idxmax("phase").item() == phase


def test_map_sets_of_a_store_are_chosen_by_name(tmp_path):
    import h5py

    file = hdf5(tmp_path)
    with h5py.File(file, "a") as store:
        store["Other/maps/Fe"] = COUNTS["Al"]
    with pytest.raises(FormatError, match=r"several map sets: Demo, Other. Pass group='Demo'"):
        read_epma(file)
    assert read_epma(file, group="Other")["element"].values.tolist() == ["Fe"]
    with pytest.raises(FormatError, match="no map set 'Third'"):
        read_epma(file, group="Third")


def test_damaged_stores_are_refused(tmp_path):
    file = hdf5(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError, match=r"map.h5: not a readable HDF5 file"):
        read_epma(file)


def test_arrays_without_a_sidecar_say_what_to_write(tmp_path):
    for writer in (tiff, numpy_array):
        file = writer(tmp_path)
        (tmp_path / "map.toml").unlink()
        with pytest.raises(FormatError, match=r'Write map.toml beside it, with elements = \["Al"'):
            read_epma(file)


def test_npz_arrays_name_their_elements_themselves(tmp_path):
    file = numpy_archive(tmp_path)
    (tmp_path / "map.toml").unlink()
    assert read_epma(file)["element"].values.tolist() == ["Al", "Si"]


def test_the_sidecar_itself_may_be_given(tmp_path):
    tiff(tmp_path)
    maps = read_epma(tmp_path / "map.toml")
    assert maps["dead_time_ns"].sel(element="Si").item() == 1200
    np.testing.assert_allclose(maps["stage_to_pixel"].values @ [10.0, 20.0, 1], [4, 0], atol=1e-9)


def test_pickled_arrays_are_refused(tmp_path):
    file = numpy_array(tmp_path)
    np.save(file, np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match=r"map.npy: not a readable NumPy array .*allow_pickle"):
        read_epma(file)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("dwell_s", "dwell", FormatError, "'dwell' is not known; did you mean 'dwell_s'"),
        ('["Al", "Si"]', '["Al"]', DataError, "2 maps, but .* names 1 elements"),
        ('["Al", "Si"]', '["Al", "Sl"]', DataError, "'Sl' is not an element symbol"),
        ('["Al", "Si"]', '"Al"', FormatError, 'a list such as \\["Al", "Si"\\]'),
        ("elements =", "element =", FormatError, "'element' is not known; did you mean"),
        ("step_um = 4.0", 'step_um = "4"', FormatError, "step_um is '4', not a number"),
        ("Al = 1100", "Fe = 1100", FormatError, "dead_time_ns of 'Fe', which has no map"),
        ("[0.0, 250.0, -5000.0]", "[0.0]", FormatError, "column and row, three numbers each"),
        ("dwell_s = 0.05", "dwell_s = ", FormatError, "not TOML"),
    ],
)
def test_damaged_sidecars_are_named(old, new, error, message, tmp_path):
    file = tiff(tmp_path)
    replace_in(tmp_path / "map.toml", old, new)
    with pytest.raises(error, match=message):
        read_epma(file)


def test_a_csv_matrix_that_is_missing_or_torn_is_named(tmp_path):
    csv_matrices(tmp_path)
    replace_in(tmp_path / "al_counts.csv", "15,18", "15;18")
    with pytest.raises(FormatError, match=r"al_counts.csv:2: "):
        read_epma(tmp_path)
    (tmp_path / "al_counts.csv").unlink()
    with pytest.raises(FormatError, match=r"'al_counts.csv', the map of Al, is not there"):
        read_epma(tmp_path)


def test_a_tiff_page_that_is_cut_off_is_not_taken_for_zeros(tmp_path):
    file = tiff(tmp_path)
    content = file.read_bytes()
    for length in range(20, len(content) - 1, 7):
        file.write_bytes(content[:length])
        with pytest.raises((FormatError, DataError)):
            read_epma(file)
