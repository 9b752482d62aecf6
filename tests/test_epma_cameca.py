import math

import numpy as np
import pytest
from epma_files import (
    COUNTS,
    cameca,
    matrix,
    replace_in,
)

from petro_models.errors import DataError, FormatError
from petro_models.io.epma import read_epma


def test_cameca_stage_starts_at_the_first_pixel(tmp_path):
    maps = read_epma(cameca(tmp_path))
    affine = maps["stage_to_pixel"].values
    np.testing.assert_allclose(affine @ [-1200, 3400, 1], [0, 0], atol=1e-9)
    np.testing.assert_allclose(affine @ [-1184, 3412, 1], [4, 3], atol=1e-9)
    assert maps["stage_to_pixel"].attrs["units"] == "um"


def test_cameca_counts_per_second_become_counts_again(tmp_path):
    cameca(tmp_path)
    for element, image in COUNTS.items():
        file = tmp_path / f"{element}_map.txt"
        head = file.read_text(encoding="cp1252").partition("Y Unit")[0]
        file.write_text(f"{head}Y Unit : cps\n{matrix(image * 20.0)}", encoding="cp1252")
    maps = read_epma(tmp_path)
    np.testing.assert_array_equal(maps["counts"].sel(element="Si"), COUNTS["Si"])
    assert "counts per second times dwell time" in maps.attrs["notes"]
    replace_in(tmp_path / "Al_map.txt", "60.0", "61.0", "cp1252")
    with pytest.raises(DataError, match="are no whole numbers, so that they were corrected"):
        read_epma(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("Line Number : 4", "Line Number : 6", FormatError, "4 rows of 5 .* 6 rows .* cut short"),
        ("Line Number : 4\n", "", FormatError, "the header lacks Line Number"),
        ("Y Unit : counts", "Y Unit : wt%", DataError, "is in 'wt%', not in counts"),
        ("Image : Al Ka", "Image : Qq Ka", FormatError, "'Qq', which is no element"),
        ("57\n", "", FormatError, "Al_map.txt:14: 4 numbers, but the lines before have 5"),
    ],
)
def test_damaged_cameca_maps_are_named(old, new, error, message, tmp_path):
    cameca(tmp_path)
    replace_in(tmp_path / "Al_map.txt", old, new, "cp1252")
    with pytest.raises(error, match=message):
        read_epma(tmp_path)


def test_cameca_dwell_without_a_unit_is_not_guessed(tmp_path):
    cameca(tmp_path)
    replace_in(tmp_path / "Al_map.txt", "Dwell Time (ms)", "Dwell Time", "cp1252")
    maps = read_epma(tmp_path)
    assert math.isnan(maps["dwell_s"].sel(element="Al").item())
    assert "has no unit and is not used" in maps.attrs["notes"]
