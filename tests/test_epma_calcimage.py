import numpy as np
import pytest
from epma_files import (
    COUNTS,
    calcimage,
    replace_in,
)

from petro_models.errors import DataError, FormatError
from petro_models.io.epma import read_epma
from petro_models.phase_maps.data import validate_maps


def test_quantified_calcimage_files_give_compositions_not_counts(tmp_path):
    maps = read_epma(calcimage(tmp_path, ("Al2O3 WT%", "SiO2 WT%")))
    assert "counts" not in maps
    assert maps["oxide"].values.tolist() == ["Al2O3", "SiO2"]
    np.testing.assert_array_equal(maps["wt_percent"].sel(oxide="SiO2"), COUNTS["Si"])
    with pytest.raises(DataError, match="hold wt%, not counts"):
        validate_maps(maps)


def test_calcimage_stage_is_fitted_to_its_pixels(tmp_path):
    maps = read_epma(calcimage(tmp_path))
    affine = maps["stage_to_pixel"].values
    np.testing.assert_allclose(affine @ [1.008, 2.012, 1], [2, 3], atol=1e-6)
    assert maps["stage_to_pixel"].attrs["units"] == "mm"


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("5\t4\t20\t9", "5\t5\t25\t9", FormatError, "20 pixels, but the first line says 5 x 5"),
        ("5\t4\t20\t9", "5\t4\t20\t8", FormatError, "the first line says 8"),
        ('"NX"', '"NZ"', FormatError, "the headers must hold NX, NY, X, Y"),
        ("\t3\t2\t8\t", "\t7\t2\t8\t", FormatError, "map.DAT:10: NX and NY name no pixel"),
        ("\t3\t2\t8\t", "\t2\t2\t8\t", FormatError, "stands on two lines"),
        ('"Al CNTS"', '"Qq WT%"', DataError, "'Qq WT%' is not an oxide"),
        ("\t1033\t", "\t10e3x\t", FormatError, "map.DAT:3: number 8: '10e3x' is not a number"),
        ("\t1033\t", "\t1033.5\t", DataError, "Si CNTS, NY 1, NX 1: 1033.5 is not a whole"),
    ],
)
def test_damaged_calcimage_files_are_named(old, new, error, message, tmp_path):
    file = calcimage(tmp_path)
    replace_in(file, old, new)
    with pytest.raises(error, match=message):
        read_epma(file)
