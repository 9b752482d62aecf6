"""Readers of equilibrium tables on real files, on files in each program's layout, on damage."""

from collections.abc import Callable
from pathlib import Path

import magemin_files
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from petro_models.errors import DataError, FormatError
from petro_models.io.equilibrium_tables import (
    detect_format,
    read_domino_maps,
    read_equilibrium_table,
    read_magemin,
    read_netcdf,
    read_perplex,
    read_theriak,
    write_equilibrium_table,
)
from petro_models.thermodynamics.tables import EquilibriumTable

PRESSURES = (3.0, 5.5, 8.0)
TEMPERATURES = (480.0, 520.0, 575.0, 640.0)
GRID = [(pressure, heat) for pressure in PRESSURES for heat in TEMPERATURES]
NAMES = ("X_alm", "X_prp", "X_grs", "X_sps")


def check_grid(table: xr.Dataset, tolerance: float, mode: bool = True) -> None:
    """The made-up garnet stands at its nodes; NaN and 0 where it is absent."""
    np.testing.assert_allclose(table["pressure_kbar"], PRESSURES, atol=1e-5)
    np.testing.assert_allclose(table["temperature_C"], TEMPERATURES, atol=1e-5)
    assert table["X_alm"].dims == ("pressure_kbar", "temperature_C")
    absent = 0
    for row, pressure in enumerate(PRESSURES):
        for column, heat in enumerate(TEMPERATURES):
            fractions, volume = magemin_files.expected(pressure, heat)
            node = table.isel(pressure_kbar=row, temperature_C=column)
            found = [float(node[name]) for name in NAMES]
            np.testing.assert_allclose(found, fractions, atol=tolerance)
            if mode:
                assert float(node["garnet_mode"]) == pytest.approx(volume, abs=tolerance)
            absent += np.isnan(fractions).all()
    assert absent == 3
    assert table["pressure_kbar"].attrs["units"] == "kbar"
    assert table["temperature_C"].attrs["units"] == "degree_Celsius"
    assert table["X_prp"].attrs["units"] == "1"
    assert table.attrs["source"]
    EquilibriumTable.from_dataset(table)  # it is what the interpolation takes


# --- files in the layouts of the programs ---


def pseudosection(points: list[tuple[float, float]] = GRID) -> str:
    head = "// {number status[] P[kbar] T[C] G_sys[G] BR_norm[wt]} nextline {Phase[name]}\n"
    return head + "".join(
        magemin_files.pseudosection_point(k + 1, *point) for k, point in enumerate(points)
    )


def thermocalc() -> str:
    return "\n" + "".join(magemin_files.block_point(*point, matlab=False) for point in GRID)


def matlab() -> str:
    return "\n" + "".join(magemin_files.block_point(*point, matlab=True) for point in GRID)


def perplex(
    pressure_first: bool = False,
    oxides: bool = False,
    headers: tuple[str, ...] = ("X_alm", "X_prp", "X_grs", "X_sps", "Gt,vol,%"),
) -> str:
    """A .tab over an even grid, since WERAMI knows increments only."""
    heat, load = np.array([480.0, 560.0, 640.0]), np.array([3.0, 5.5, 8.0])
    axes = [("T(K)", heat + 273.15), ("P(bar)", 1000.0 * load)]
    if pressure_first:
        axes.reverse()
    lines = ["|6.6.6", "made_up_1.tab", "           2"]
    for name, values in axes:
        lines += [
            name,
            f"  {values[0]:.10f}",
            f"  {values[1] - values[0]:.10f}",
            f"  {values.size}",
        ]
    names = ("FeO,wt%", "MgO,wt%", "CaO,wt%", "MnO,wt%", "SiO2,wt%", "Gt,vol,%")
    names = names if oxides else headers
    lines += [f"  {len(names)}", "  ".join(names)]
    pairs = (
        [(p, t) for t in heat for p in load]
        if pressure_first
        else [(p, t) for p in load for t in heat]
    )
    for pressure, temperature in pairs:
        fractions, mode = magemin_files.expected(pressure, temperature)
        values = [*fractions, 100.0 * mode]
        if oxides:
            weights = fractions * np.array([71.844, 40.304, 56.077, 70.937]) / 5.0
            values = [*weights, 37.5, 100.0 * mode]
        if len(values) > len(names):
            values = [*values[: len(names) - 1], values[-1]]
        lines.append("  ".join(f"{value:.8E}" for value in values))
    return "\n".join(lines) + "\n"


def thktab(site: bool = True) -> str:
    """Theriak's loop table: garnet changes its name where another end-member leads."""
    parts = ("Mg(X)", "Fe(X)", "Mn(X)", "Ca(X)") if site else ("py", "alm", "spss", "gr", "kho")
    headers = [":NR(step)", ":Temperature", ":Pressure", "G_system", "V_solids"]
    for name in ("alm", "spss"):
        headers += [f"V_[{name}]", *(f"x_{part}_[{name}]" for part in parts)]
    rows = [",".join(f"{header:<32}" for header in headers)]
    for number, (pressure, heat) in enumerate(GRID, start=1):
        members, mode = magemin_files.garnet(pressure, heat), 0.0
        values = dict.fromkeys(headers, 0.0)
        if members is not None:
            mode = magemin_files.expected(pressure, heat)[1]
            name = "spss" if number % 2 else "alm"
            if site:
                X = dict(zip(NAMES, magemin_files.expected(pressure, heat)[0], strict=True))
                shown = [X["X_prp"], X["X_alm"], X["X_sps"], X["X_grs"]]
            else:
                shown = [members[part] for part in parts]
            values |= dict(zip((f"x_{part}_[{name}]" for part in parts), shown, strict=True)) | {
                f"V_[{name}]": 2000.0 * mode
            }
        values |= {":NR(step)": number, ":Temperature": heat, ":Pressure": 1000.0 * pressure}
        values["V_solids"] = 2000.0
        rows.append(",".join(f"{value:14.7E}" for value in values.values()))
    return "\n".join(rows) + "\n"


def collected_csv() -> str:
    rows = ["P_kbar,T_C,assem,X_alm,X_prp,X_grs,X_sps,vol"]
    for pressure, heat in GRID:
        fractions, mode = magemin_files.expected(pressure, heat)
        cells = ["" if np.isnan(value) else f"{value:.8f}" for value in fractions]
        rows.append(",".join([f"{pressure}", f"{heat}", "BI14 q", *cells, f"{mode or ''}"]))
    return "\n".join(rows) + "\n"


LAYOUTS: dict[str, tuple[str, Callable[[], str], float]] = {
    "pseudosection.txt": ("magemin", pseudosection, 1e-8),
    "thermocalc_style.txt": ("magemin", thermocalc, 3e-5),  # five decimals
    "matlab.txt": ("magemin", matlab, 3e-5),
    "thktab.tab": ("theriak", thktab, 1e-6),
    "collected.csv": ("theriak", collected_csv, 1e-7),
}


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_each_layout_is_told_and_gives_the_same_table(tmp_path: Path, name: str) -> None:
    kind, write, tolerance = LAYOUTS[name]
    file = tmp_path / name
    file.write_text(write(), encoding="utf-8")
    assert detect_format(file) == kind
    check_grid(read_equilibrium_table(file), tolerance)


def test_theriak_garnet_is_read_from_end_members_where_sites_are_not_written(
    tmp_path: Path,
) -> None:
    file = tmp_path / "thktab.tab"
    file.write_text(thktab(site=False))
    check_grid(read_theriak(file), 1e-6)


@pytest.mark.parametrize("pressure_first", [False, True])
@pytest.mark.parametrize("oxides", [False, True])
def test_perplex_tables_are_read_whichever_axis_runs_fastest(
    tmp_path: Path, pressure_first: bool, oxides: bool
) -> None:
    file = tmp_path / "made_up_1.tab"
    file.write_text(perplex(pressure_first, oxides))
    assert detect_format(file) == "perplex"
    table = read_equilibrium_table(file)
    for pressure in (3.0, 5.5, 8.0):
        for heat in (480.0, 560.0, 640.0):
            fractions, mode = magemin_files.expected(pressure, heat)
            node = table.sel(pressure_kbar=pressure, temperature_C=heat, method="nearest")
            np.testing.assert_allclose([float(node[name]) for name in NAMES], fractions, atol=1e-7)
            assert float(node["garnet_mode"]) == pytest.approx(mode, abs=1e-9)
    assert ("Fe2+" in table.attrs["notes"]) == oxides


def test_perplex_columns_can_be_named_and_the_fourth_is_what_is_lacking(tmp_path: Path) -> None:
    file = tmp_path / "named.tab"
    file.write_text(perplex(headers=("C[Gt1]", "C[Gt2]", "C[Gt3]", "vol_Gt,%")))
    columns = {"X_alm": "C[Gt1]", "X_prp": "C[Gt2]", "X_grs": "C[Gt3]", "garnet_mode": "vol_Gt,%"}
    table = read_perplex(file, columns=columns)
    fractions, _ = magemin_files.expected(8.0, 640.0)
    node = table.sel(pressure_kbar=8.0, temperature_C=640.0, method="nearest")
    assert float(node["X_sps"]) == pytest.approx(fractions[3], abs=1e-7)
    assert "X_sps is what the others lack to 1" in table.attrs["notes"]
    with pytest.raises(DataError, match=r"do not tell garnet's composition"):
        read_perplex(file)
    with pytest.raises(DataError, match=r"no column 'C\[Gt9\]'; did you mean"):
        read_perplex(file, columns=columns | {"X_grs": "C[Gt9]"})


def test_domino_maps_are_read_with_the_grid_they_do_not_tell(tmp_path: Path) -> None:
    folder = tmp_path / "_dommap"
    folder.mkdir()
    heat, load = np.linspace(480.0, 640.0, 3), np.linspace(3.0, 8.0, 2)
    maps: dict[str, list[str]] = {}
    for pixel, (pressure, temperature) in enumerate(((p, t) for p in load for t in heat), start=1):
        maps.setdefault("vol_q", []).append(f"  {pixel}    1.000000E+03")
        maps.setdefault("vol_H2O", []).append(f"  {pixel}    5.000000E+02")
        members = magemin_files.garnet(pressure, temperature)
        if members is not None:
            maps.setdefault("vol_[alm]", []).append(f"  {pixel}    1.000000E+02")
            for member, value in members.items():
                maps.setdefault(f"x_{member}_[alm]", []).append(f"  {pixel}    {value:.12E}")
    for name, lines in maps.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    table = read_domino_maps(folder, (480.0, 640.0, 3), (3.0, 8.0, 2))
    assert float(table["garnet_mode"].max()) == pytest.approx(100.0 / 1100.0)
    for pressure in load:
        for temperature in heat:
            fractions, _ = magemin_files.expected(pressure, temperature)
            node = table.sel(pressure_kbar=pressure, temperature_C=temperature)
            np.testing.assert_allclose([float(node[name]) for name in NAMES], fractions, atol=1e-9)
    with pytest.raises(DataError, match="lies outside a grid of 4"):
        read_domino_maps(folder, (480.0, 640.0, 2), (3.0, 8.0, 2))


def test_failed_points_and_second_garnets_are_counted_not_hidden(tmp_path: Path) -> None:
    text = pseudosection().replace("12 0 8.0", "12 3 8.0")
    third = magemin_files.pseudosection_point(3, *GRID[2])
    garnet_line = next(line for line in third.splitlines() if line.startswith("g "))
    smaller = garnet_line.replace("g ", "g_2 ", 1).replace("0.1200000000", "0.0100000000")
    text = text.replace(garnet_line, f"{garnet_line}\n{smaller}", 1)
    file = tmp_path / "pseudosection.txt"
    file.write_text(text)
    table = read_magemin(file)
    assert "1 point(s) did not converge" in table.attrs["notes"]
    assert "1 point(s) have two garnets" in table.attrs["notes"]
    corner = table.sel(pressure_kbar=8.0, temperature_C=640.0)
    assert np.isnan(float(corner["garnet_mode"]))  # no result, unlike 0, no garnet
    assert np.isnan(float(corner["X_alm"]))


# --- real files ---


def test_the_real_white_2014_table_keeps_its_numbers(real_data: Path) -> None:
    path = real_data / "garnet_tables" / "white2014_fractionation.nc"
    table, raw = read_equilibrium_table(path), xr.load_dataset(path)
    assert table["X_prp"].dims == ("removed", "pressure_kbar", "temperature_C")
    for name in NAMES:
        np.testing.assert_allclose(table[name], raw[name], atol=1e-6)  # single precision
    np.testing.assert_array_equal(np.isnan(table["X_alm"]), table["garnet_mode"] == 0)
    assert table.attrs["engine"].startswith("MAGEMin 2.0.1")


def test_a_further_axis_must_be_chosen_from(real_data: Path) -> None:
    path = real_data / "garnet_tables" / "white2014_MnO_levels_41x41x5.nc"
    with pytest.raises(FormatError, match=r"further axis 'MnO_mol'; choose .*0\.005, 0\.02"):
        read_netcdf(path)
    with pytest.raises(DataError, match=r"MnO_mol has no value 0\.03"):
        read_netcdf(path, select={"MnO_mol": 0.03})
    few, many = (read_netcdf(path, select={"MnO_mol": value}) for value in (0.02, 0.175))
    assert float(few["X_sps"].mean()) < float(many["X_sps"].mean())


def test_theriak_and_magemin_agree_on_the_white_2014_pelite(real_data: Path) -> None:
    """Two engines, one data set: RMS 0.003 in X and 0.001 in mode over 81 nodes."""
    theriak = read_equilibrium_table(real_data / "garnet_tables" / "theriak_white2014_9x9.csv")
    magemin = read_equilibrium_table(real_data / "garnet_tables" / "white2014_81x81.nc")
    same = magemin.sel(
        pressure_kbar=theriak["pressure_kbar"],
        temperature_C=theriak["temperature_C"],
        method="nearest",
    )
    for name in NAMES:
        difference = theriak[name].to_numpy() - same[name].to_numpy()
        assert np.sqrt(np.nanmean(difference**2)) < 0.004, name
    difference = theriak["garnet_mode"].to_numpy() - same["garnet_mode"].to_numpy()
    assert np.sqrt(np.nanmean(difference**2)) < 0.001


def test_linaforma_keeps_its_own_variables_with_units(real_data: Path) -> None:
    path = real_data / "garnet_profiles" / "LinaForma" / "ICSV_forward_model.csv"
    table = read_equilibrium_table(path)
    assert dict(table.sizes) == {"pressure_kbar": 100, "temperature_C": 100}
    assert float(table["pressure_kbar"].min()) == 5.0
    assert float(table["pressure_kbar"].max()) == 13.0
    first = table.sel(pressure_kbar=5.0, temperature_C=400.0)
    assert float(first["XgrGRT"]) == 0.267738035
    last = table.sel(pressure_kbar=13.0, temperature_C=700.0)
    assert float(last["XabPLAG"]) == 0.905119303
    assert table["XgrGRT"].attrs["units"] == "1"
    assert table["SiBT"].attrs["units"] == "apfu"


def test_a_table_survives_being_written_and_read(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text(pseudosection())
    table = read_magemin(tmp_path / "p.txt")
    write_equilibrium_table(table, tmp_path / "table.nc")
    xr.testing.assert_identical(read_equilibrium_table(tmp_path / "table.nc"), table)


# --- damage ---


def cut_inside(text: str, where: str, after: int) -> str:
    """Cut a text some characters after the first of some words."""
    return text[: text.index(where) + after]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda text: text.replace("1 0 3.0", "1 0 three"), FormatError, "line 2: expected 'numb"),
        (lambda text: cut_inside(text, "q \t", 30), FormatError, "line 4: phase 'q' is not as"),
        (lambda text: text.replace("spss", "xxxx", 1), FormatError, "'xxxx' is not known; known"),
        (
            lambda text: text + pseudosection([GRID[3]]),
            DataError,
            "line 19 and line 72 are both at 3 kbar, 640 degC",
        ),
        (lambda _: pseudosection(GRID[:-1]), DataError, "1 of 12 nodes .*first 8 kbar, 640 degC"),
        (lambda _: pseudosection(GRID[:4]), DataError, "two pressures and two temperatures"),
        (lambda _: "// nothing\n", FormatError, "holds no result of MAGEMin"),
        (lambda _: "   \n", FormatError, "is empty"),
    ],
)
def test_damaged_magemin_output_is_named_by_line(
    tmp_path: Path, change: Callable[[str], str], error: type[Exception], says: str
) -> None:
    file = tmp_path / "damaged.txt"
    file.write_text(change(pseudosection()))
    with pytest.raises(error, match=says):
        read_magemin(file)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("|6.6.6", "|five"), "not the version of a .tab file"),
        (lambda text: text.replace("           2", "           1"), "has 1 independent variable"),
        (lambda text: text.replace("P(bar)", "X(C1)"), "T\\(K\\) and P\\(bar\\) are needed"),
        (lambda text: text[: text.rindex("\n", 0, -1)], "8 rows where 3 x 3 = 9"),
        (lambda text: text[:-30], "line 22: [34] numbers where 5 columns"),
        (lambda text: text.replace("E-01", "E-x1", 1), "line 1[4-9]: not all entries are numbers"),
    ],
)
def test_damaged_perplex_tables_are_named_by_line(
    tmp_path: Path, change: Callable[[str], str], says: str
) -> None:
    file = tmp_path / "damaged.tab"
    file.write_text(change(perplex()))
    with pytest.raises(FormatError, match=says):
        read_perplex(file)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda text: text.replace("X_grs", "X_and"), FormatError, "has no column X_grs"),
        (lambda text: text[:-32], FormatError, "line 13: . cells where the header has 8"),
        (lambda text: text.replace("640.0", "hot", 1), FormatError, "line 5: T_C is 'hot'"),
        (
            lambda text: text.replace("0.59000000", "0.95000000", 1),
            DataError,
            "X_sps is not 1 at 1 node",
        ),
    ],
)
def test_damaged_theriak_tables_are_named_by_line(
    tmp_path: Path, change: Callable[[str], str], error: type[Exception], says: str
) -> None:
    text = collected_csv()
    assert change(text) != text
    file = tmp_path / "damaged.csv"
    file.write_text(change(text))
    with pytest.raises(error, match=says):
        read_theriak(file)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table.drop_vars("X_prp"), "no variable 'X_prp'"),
        (lambda table: table.drop_vars("garnet_mode"), "garnet_mode or mode_vol_solids"),
        (lambda table: table.rename(temperature_C="T"), "no axis 'temperature_C'"),
        (lambda table: table.assign(X_prp=table["X_prp"] * 100), "outside 0 to 1"),
        (lambda table: table.assign(garnet_mode=table["garnet_mode"] * 100), "volume fraction"),
        (lambda table: table.assign(X_prp=table["X_prp"] * np.nan), "only some of"),
    ],
)
def test_wrong_netcdf_tables_are_refused(
    tmp_path: Path, change: Callable[[xr.Dataset], xr.Dataset], says: str
) -> None:
    (tmp_path / "p.txt").write_text(pseudosection())
    change(read_magemin(tmp_path / "p.txt")).to_netcdf(tmp_path / "wrong.nc")
    with pytest.raises((FormatError, DataError), match=says):
        read_netcdf(tmp_path / "wrong.nc")


def test_axes_in_other_units_are_converted_and_unknown_units_refused(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text(pseudosection())
    table = read_magemin(tmp_path / "p.txt")
    other = table.assign_coords(
        pressure_kbar=("pressure_kbar", table["pressure_kbar"].to_numpy() / 10, {"units": "GPa"}),
        temperature_C=("temperature_C", table["temperature_C"].to_numpy() + 273.15, {"units": "K"}),
    )
    other.to_netcdf(tmp_path / "si.nc")
    xr.testing.assert_allclose(read_netcdf(tmp_path / "si.nc"), table)
    other["pressure_kbar"].attrs["units"] = "psi"
    other.to_netcdf(tmp_path / "psi.nc")
    with pytest.raises(DataError, match="pressure_kbar is in 'psi'"):
        read_netcdf(tmp_path / "psi.nc")


def test_a_netcdf_file_that_is_cut_off_is_named(tmp_path: Path, real_data: Path) -> None:
    content = (real_data / "garnet_tables" / "fpworldmedian_highP_41x41.nc").read_bytes()
    (tmp_path / "cut.nc").write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError, match=r"cut\.nc: cannot be read as netCDF.*cut off"):
        read_equilibrium_table(tmp_path / "cut.nc")


def test_unknown_formats_and_files_are_answered(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("garnet zoning, see page 7\n")
    with pytest.raises(FormatError, match="line 1 belongs to no known table format"):
        read_equilibrium_table(tmp_path / "notes.txt")
    with pytest.raises(FormatError, match="did you mean 'magemin'"):
        read_equilibrium_table(tmp_path / "notes.txt", format="magmin")
    with pytest.raises(FormatError, match="cannot be read"):
        read_equilibrium_table(tmp_path / "absent.tab")


def test_a_phase_without_density_is_refused_by_its_line(tmp_path: Path) -> None:
    damaged = matlab().replace(f"{magemin_files.DENSITY['q']:+13.5f}", f"{0:+13.5f}", 1)
    assert damaged != matlab()
    file = tmp_path / "matlab.txt"
    file.write_text(damaged, encoding="utf-8")
    with pytest.raises(FormatError, match=r"line \d+: phase 'q' has a density of 0"):
        read_equilibrium_table(file)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
@pytest.mark.parametrize("name", [*LAYOUTS, "made_up_1.tab"])
def test_any_damage_gives_an_error_of_ours_or_a_valid_table(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    """Cut the file anywhere, or write over some of it: never a crash, never a broken table."""
    text = perplex() if name == "made_up_1.tab" else LAYOUTS[name][1]()
    place = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(1, 40))
    filling = data.draw(st.text("0123456789.eE+-, \n\tXgT{}", max_size=8) | st.just(None))
    damaged = text[:place] if filling is None else text[:place] + filling + text[place + length :]
    file = tmp_path / name
    file.write_text(damaged, encoding="utf-8")
    try:
        table = read_equilibrium_table(file)
    except (FormatError, DataError):
        return
    total = sum(table[variable] for variable in NAMES).to_numpy()
    np.testing.assert_allclose(total[np.isfinite(total)], 1.0)
