import logging
import math

import numpy as np
import pytest
from epma_files import (
    COLUMNS,
    COUNTS,
    WRITERS,
    jeol_text,
    xmaptools,
)

from petro_models.errors import DataError, FormatError
from petro_models.io.epma import read_epma
from petro_models.phase_maps.data import validate_maps

FORMATS = {
    "jeol_text": "JEOL text maps (SUN era)",
    "jeol_native": "JEOL native binary maps (SUN era)",
    "jxa": "JEOL JXA-8230/8530F maps",
    "cameca": "Cameca text maps",
    "cameca_numbered": "Cameca text maps",
    "xmaptools": "XMapTools",
    "xmaptools_zip": "XMapTools (zip archive)",
    "calcimage": "CalcImage .DAT",
    "hdf5": "epmatools HDF5",
    "tiff": "TIFF stack with TOML sidecar",
    "numpy_array": "NumPy array with TOML sidecar",
    "numpy_archive": "NumPy archive with TOML sidecar",
    "csv_matrices": "CSV matrices with TOML sidecar",
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_counts_and_says_what_it_was(name, tmp_path, caplog):
    path = WRITERS[name](tmp_path)
    with caplog.at_level(logging.INFO, "petro_models"):
        maps = read_epma(path)
    validate_maps(maps)
    assert maps["element"].values.tolist() == ["Al", "Si"]
    for element, image in COUNTS.items():
        np.testing.assert_array_equal(maps["counts"].sel(element=element), image)
    assert maps.attrs["format"] == FORMATS[name]
    assert f"read as {FORMATS[name]}: Al Si, 5 x 4 pixels" in caplog.text


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"xmaptools", "xmaptools_zip"}))
def test_every_format_that_states_the_step_gives_it_in_micrometres(name, tmp_path):
    maps = read_epma(WRITERS[name](tmp_path))
    assert maps["step_um"].item() == 4
    assert maps["x"].values.tolist() == [0, 4, 8, 12, 16]
    assert maps["y"].attrs["units"] == "um"


@pytest.mark.parametrize(
    "name", sorted(set(WRITERS) - {"xmaptools", "xmaptools_zip", "calcimage", "hdf5"})
)
def test_every_format_that_states_dwell_and_current_gives_them_in_our_units(name, tmp_path):
    maps = read_epma(WRITERS[name](tmp_path))
    assert maps["dwell_s"].values.tolist() == [0.05, 0.05]
    assert maps["probe_current_nA"].item() == pytest.approx(100)


@pytest.mark.parametrize("name", WRITERS)
def test_an_element_can_be_ignored_in_every_format(name, tmp_path):
    ignored = ["Al CNTS"] if name == "calcimage" else ["Al"]
    if name == "csv_matrices":
        (tmp_path / "al_counts.csv").unlink(missing_ok=True)
    assert read_epma(WRITERS[name](tmp_path), ignore=ignored)["element"].values.tolist() == ["Si"]


def test_conditions_of_the_caller_win_and_are_noted(tmp_path):
    maps = read_epma(
        xmaptools(tmp_path), dwell_s={"Si": 0.2}, dead_time_ns=1000, probe_current_nA=50, step_um=3
    )
    assert math.isnan(maps["dwell_s"].sel(element="Al").item())
    assert maps["dwell_s"].sel(element="Si").item() == 0.2
    assert maps["dead_time_ns"].values.tolist() == [1000, 1000]
    assert maps["probe_current_nA"].item() == 50
    assert maps["x"].values[1] == 3
    assert "step_um given by the caller" in maps.attrs["notes"]


def test_ignore_is_checked(tmp_path):
    folder = xmaptools(tmp_path)
    with pytest.raises(DataError, match=r"no file 'Si.tct'; did you mean 'Si.txt'"):
        read_epma(folder, ignore=["Si.tct"])
    with pytest.raises(DataError, match="give a list"):
        read_epma(folder, ignore="Si")
    with pytest.raises(FormatError, match="no map is left"):
        read_epma(folder, ignore=["Al", "Si.txt"])


def test_what_is_no_map_is_answered_with_what_is_known(tmp_path):
    with pytest.raises(FormatError, match="there is no such file or folder"):
        read_epma(tmp_path / "nothing")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(FormatError, match=r"holds notes.txt. Recognised: JEOL .*Cameca.*TIFF"):
        read_epma(tmp_path)
    with pytest.raises(FormatError, match=r"notes.txt: no format of EPMA maps"):
        read_epma(tmp_path / "notes.txt")


def test_a_folder_beside_the_archive_points_to_the_archive(real_data):
    with pytest.raises(FormatError, match=r"Is the map in alps.zip\? Then give the path"):
        read_epma(real_data / "epma" / "alps")


def test_several_maps_in_one_folder_are_listed(tmp_path):
    for name in ("1", "2"):
        (tmp_path / ".map" / name).mkdir(parents=True)
        jeol_text(tmp_path / ".map" / name)
    with pytest.raises(FormatError, match=r"several maps: .map/1, .map/2. Give the path of one"):
        read_epma(tmp_path)
    assert read_epma(tmp_path, group=".map/2").sizes["x"] == COLUMNS
    assert read_epma(tmp_path / ".map" / "1").sizes["x"] == COLUMNS
    with pytest.raises(FormatError, match=r"no map in '.map/3'; did you mean"):
        read_epma(tmp_path, group=".map/3")
