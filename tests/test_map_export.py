import csv
import re

import numpy as np
import pytest
import tifffile
from fitlike_phase_map import DENSITIES, OXIDES, PHASES, fitlike
from PIL import Image

from petro_models.errors import FitError
from petro_models.io.epma import read_phase_seeds
from petro_models.io.map_export import write_geotiff, write_png, write_xmaptools
from petro_models.phase_maps.regions import mask_image, pixels_of
from petro_models.report import style

WRITERS = [write_xmaptools, write_geotiff, write_png]


@pytest.fixture(scope="module")
def fit():
    return fitlike()[0]


@pytest.fixture(scope="module")
def answers(fit):
    return fit["derived"].to_dataset()


@pytest.fixture(scope="module")
def unscaled():
    return fitlike(shape=(40, 50), step_um=None)[0]


def test_xmaptools_matrices_hold_the_composition_and_0_where_unknown(fit, answers, tmp_path):
    write_xmaptools(fit, tmp_path)
    unknown = answers["phase_map"].to_numpy() < 0
    for oxide in OXIDES:
        for path, name in (
            (tmp_path / f"{oxide}.txt", "composition"),
            (tmp_path / "sd" / f"{oxide}_sd.txt", "composition_sd"),
        ):
            matrix = np.loadtxt(path, delimiter="\t")
            expected = answers[name].sel(oxide=oxide).to_numpy()
            np.testing.assert_allclose(matrix[~unknown], expected[~unknown], atol=5.1e-5)
            assert (matrix[unknown] == 0).all()


def test_xmaptools_masks_part_the_map_among_the_phases(fit, answers, tmp_path):
    write_xmaptools(fit, tmp_path)
    masks = np.array([np.loadtxt(tmp_path / "masks" / f"{name}.txt") for name in PHASES])
    known = answers["phase_map"].to_numpy() >= 0
    np.testing.assert_array_equal(masks.sum(axis=0), known)
    np.testing.assert_array_equal(masks.argmax(axis=0)[known], answers["phase_map"].values[known])


def test_a_written_mask_selects_the_same_region_again(fit, tmp_path):
    write_xmaptools(fit, tmp_path)
    again = mask_image(fit, tmp_path / "masks" / "Garnet.txt")
    assert again.equals(pixels_of(fit, "Garnet", 0.0))


def test_seeds_for_xmaptools_lie_inside_their_phases_and_read_back(fit, answers, tmp_path):
    write_xmaptools(fit, tmp_path)
    text = (tmp_path / "Classification.txt").read_text(encoding="utf-8")
    seeds = re.findall(r"^(\w+)\t(\d+)\t(\d+)$", text, flags=re.MULTILINE)
    assert [name for name, *_ in seeds] == list(PHASES)
    for name, column, row in seeds:
        around = answers["phase_map"].to_numpy()[int(row) - 3 : int(row) + 2][
            :, int(column) - 3 : int(column) + 2
        ]
        assert (around == PHASES.index(name)).all()
    read = read_phase_seeds(tmp_path)
    np.testing.assert_array_equal(read["column"], [int(column) - 1 for _, column, _ in seeds])
    np.testing.assert_array_equal(read["row"], [int(row) - 1 for *_, row in seeds])
    np.testing.assert_array_equal(read["density_kg_m3"], DENSITIES)


def tags_of(path):
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        return {tag.name: tag.value for tag in page.tags.values()}


def test_a_tiff_reads_back_with_values_scale_and_origin(fit, answers, tmp_path):
    write_geotiff(fit, tmp_path)
    tags = tags_of(tmp_path / "composition.tif")
    assert tags["ModelPixelScaleTag"] == (2.0, 2.0, 0.0)
    # The outer corner of the first pixel lies half a step left of and above its centre (0, 0).
    assert tags["ModelTiepointTag"] == (0.0, 0.0, 0.0, -1.0, 1.0, 0.0)
    assert np.divide(*tags["XResolution"]) == pytest.approx(5000)  # pixels per cm
    bands = tifffile.imread(tmp_path / "composition.tif")
    known = answers["phase_map"].to_numpy() >= 0
    expected = answers["composition"].to_numpy()
    assert bands.shape == expected.shape
    np.testing.assert_allclose(bands[:, known], expected[:, known], rtol=1e-6)
    assert np.isnan(bands[:, ~known]).all()
    for oxide in OXIDES:
        assert f">{oxide}</Item>" in tags["GDAL_METADATA"]


def keys_of(tags):
    """Read GeoKeys as the specification tells: location 0 is the value itself."""
    directory = tags["GeoKeyDirectoryTag"]
    assert directory[:3] == (1, 1, 0)
    entries = np.reshape(directory[4:], (-1, 4))
    assert len(entries) == directory[3]
    assert (np.diff(entries[:, 0]) > 0).all()  # sorted, as readers demand
    keys = {}
    for key, location, count, value in entries.tolist():
        if location == 34737:
            keys[key] = tags["GeoAsciiParamsTag"][value : value + count].rstrip("|")
        elif location == 34736:
            keys[key] = np.atleast_1d(tags["GeoDoubleParamsTag"])[value]
        else:
            keys[key] = value
    return keys


def test_the_coordinate_system_is_local_and_in_micrometres(fit, unscaled, tmp_path):
    write_geotiff(fit, tmp_path / "scaled")
    write_geotiff(unscaled, tmp_path / "unscaled")
    keys = keys_of(tags_of(tmp_path / "scaled" / "evidence.tif"))
    assert keys[1024] == 32767  # neither projected nor geographic
    assert keys[1025] == 1  # a pixel is an area
    assert (keys[1026], keys[3073]) == ("Map in micrometres", "micrometre")
    assert keys[3077] == 1e-6
    tags = tags_of(tmp_path / "unscaled" / "evidence.tif")
    assert keys_of(tags) == {1024: 32767, 1025: 1, 1026: "Map in pixels"}
    assert tags["ModelPixelScaleTag"] == (1.0, 1.0, 0.0)


def test_oblong_pixels_keep_both_their_steps(tmp_path):
    fit = fitlike(shape=(40, 50))[0].copy(deep=True)
    answers = fit["derived"].to_dataset()
    fit["derived"] = answers.assign_coords(y=("y", answers["y"].values * 3, {"units": "um"}))
    write_geotiff(fit, tmp_path)
    tags = tags_of(tmp_path / "phase_map.tif")
    assert tags["ModelPixelScaleTag"] == (2.0, 6.0, 0.0)
    assert tags["ModelTiepointTag"][3:] == (-1.0, 3.0, 0.0)


def test_the_phase_map_carries_its_colours(fit, answers, tmp_path):
    write_geotiff(fit, tmp_path)
    classes = tifffile.imread(tmp_path / "phase_map.tif")
    np.testing.assert_array_equal(classes, answers["phase_map"].to_numpy() + 1)
    palette = np.asarray(tags_of(tmp_path / "phase_map.tif")["ColorMap"]).reshape(3, 256).T // 257
    garnet = "#" + "".join(f"{part:02X}" for part in palette[1])
    assert garnet == style.CATEGORIES[0]
    description = tags_of(tmp_path / "phase_map.tif")["ImageDescription"]
    assert "1 Garnet; 2 Quartz; 3 Mica; 4 Chlorite" in description


def test_pictures_have_a_pixel_for_each_of_the_map_and_a_legend(fit, answers, tmp_path):
    write_png(fit, tmp_path)
    rows = list(csv.DictReader((tmp_path / "legend.csv").read_text("utf-8").splitlines()))
    picture = np.asarray(Image.open(tmp_path / "phase_map.png"))
    assert picture.shape == (120, 150, 3)
    for index, name in enumerate(["unknown", *PHASES], start=-1):
        (row,) = [row for row in rows if row["what"] == name]
        colour = [int(row[part]) for part in ("red", "green", "blue")]
        painted = (picture == colour).all(axis=2)
        np.testing.assert_array_equal(painted, answers["phase_map"].to_numpy() == index)
    ends = [float(row["value"].split()[0]) for row in rows if row["what"] == "MnO"]
    known = answers["phase_map"].to_numpy() >= 0
    values = answers["composition"].sel(oxide="MnO").to_numpy()[known]
    np.testing.assert_allclose(ends, np.percentile(values, [0.5, 99.5]), rtol=1e-4)
    with Image.open(tmp_path / "MnO.png") as image:
        assert image.size == (150, 120)
        assert image.text["Step"] == "2 x 2 um"


def test_phases_of_any_name_get_files_of_their_own(tmp_path):
    fit = fitlike(shape=(40, 50))[0]
    answers = fit["derived"].to_dataset()
    names = ["K-feldspar/1", "K-feldspar 1", "Grenat é", "..."]
    fit["derived"] = answers.assign_coords(phase=names, phase2=names)
    write_xmaptools(fit, tmp_path / "x")
    write_geotiff(fit, tmp_path / "g")
    write_png(fit, tmp_path / "p")
    masks = {path.name for path in (tmp_path / "x" / "masks").iterdir()}
    assert masks == {"K-feldspar_1.txt", "K-feldspar_1_2.txt", "Grenat.txt", "phase.txt"}


@pytest.mark.parametrize("write", WRITERS)
def test_a_failed_export_leaves_nothing(fit, tmp_path, write):
    broken = fit.copy(deep=True)
    name = "evidence" if write is write_geotiff else "composition"
    answers = broken["derived"].to_dataset()
    if name == "evidence":
        answers["evidence"] = answers["evidence"].isel(y=0)
    else:
        answers["composition"] = answers["composition"].rename(oxide="oxide2")
    broken["derived"] = answers
    with pytest.raises((ValueError, KeyError)):
        write(broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("write", WRITERS)
def test_an_older_export_is_replaced_as_a_whole(fit, unscaled, tmp_path, write):
    write(unscaled, tmp_path)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    write(fit, tmp_path)
    after = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    assert before == after


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_in_the_place_of_the_folder_says_so(fit, tmp_path, write):
    (tmp_path / "out").write_text("not a folder")
    with pytest.raises(FitError, match="cannot be written"):
        write(fit, tmp_path / "out")
