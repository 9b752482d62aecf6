"""Making equilibrium tables with engines, which here are stand-ins that write the real formats."""

import stat
import sys
from pathlib import Path

import magemin_files
import numpy as np
import pytest
import xarray as xr

from petro_models.errors import ConfigurationError, DataError, FormatError
from petro_models.io.equilibrium_tables import read_netcdf, write_equilibrium_table
from petro_models.thermodynamics.engines import MAGEMin, Theriak, make_equilibrium_table
from petro_models.thermodynamics.tables import EquilibriumTable

BULK = {
    "SiO2": 64.6,
    "Al2O3": 13.7,
    "CaO": 1.6,
    "MgO": 5.5,
    "FeO": 8.0,
    "K2O": 2.9,
    "Na2O": 2.0,
    "TiO2": 0.9,
    "O": 0.65,
    "MnO": 0.18,
    "H2O": 40.0,
}
PRESSURE = np.linspace(3.0, 11.0, 9)
TEMPERATURE = np.linspace(460.0, 600.0, 8)
NAMES = ("X_alm", "X_prp", "X_grs", "X_sps")

# Appends what it was asked to a log, then writes the garnet of tests/magemin_files.py.
FAKE_MAGEMIN = """#!{python}
import pathlib, sys
sys.path.insert(0, {tests!r})
import magemin_files
options = dict(word[2:].split("=") for word in sys.argv[1:])
lines = pathlib.Path(options["File"]).read_text().splitlines()
with open({log!r}, "a") as log:
    log.write("|".join([*sys.argv[1:], lines[0]]) + "\\n")
pathlib.Path("output").mkdir()
text = "// header\\n"
for number, line in enumerate(lines[: int(options["n_points"])], start=1):
    mode, pressure, temperature, *bulk = map(float, line.split())
    status = {failing}
    text += magemin_files.pseudosection_point(number, pressure, temperature, status)
{ending}
"""
WRITES = 'pathlib.Path("output/_pseudosection_output.txt").write_text(text)'


def install_magemin(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failing: str = "0", ending: str = WRITES
) -> Path:
    """Put a stand-in for MAGEMin on the PATH; gives the log of its calls."""
    log = folder / "calls.log"
    script = folder / "MAGEMin"
    script.write_text(
        FAKE_MAGEMIN.format(
            python=sys.executable,
            tests=str(Path(magemin_files.__file__).parent),
            log=str(log),
            failing=failing,
            ending=ending,
        )
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))
    return log


def expected() -> dict[str, np.ndarray]:
    answers = [[magemin_files.expected(float(p), float(t)) for t in TEMPERATURE] for p in PRESSURE]
    fractions = np.array([[x for x, _ in row] for row in answers])
    values = {name: fractions[..., k] for k, name in enumerate(NAMES)}
    return values | {"garnet_mode": np.array([[mode for _, mode in row] for row in answers])}


def test_the_table_holds_what_magemin_computed_at_each_node(tmp_path, monkeypatch):
    install_magemin(tmp_path, monkeypatch)
    table = make_equilibrium_table(BULK, PRESSURE, TEMPERATURE)
    assert table["X_alm"].dims == ("pressure_kbar", "temperature_C")
    np.testing.assert_array_equal(table["pressure_kbar"], PRESSURE)
    np.testing.assert_array_equal(table["temperature_C"], TEMPERATURE)
    for name, values in expected().items():
        np.testing.assert_allclose(table[name], values, atol=1e-8)  # MAGEMin prints 10 decimals
    assert table.attrs["engine"] == "MAGEMin"
    assert table.attrs["database"] == "mp"
    assert "SiO2 64.6" in table.attrs["bulk"]
    assert table.attrs["notes"] == ""


def test_magemin_is_asked_for_the_bulk_in_the_order_of_its_database(tmp_path, monkeypatch):
    log = install_magemin(tmp_path, monkeypatch)
    shuffled = dict(sorted(BULK.items(), reverse=True))
    del shuffled["MnO"]
    make_equilibrium_table(shuffled, PRESSURE, TEMPERATURE, workers=1)
    calls = [line.split("|") for line in log.read_text().splitlines()]
    assert len(calls) == 2  # 72 nodes in pieces of at most 50
    assert {"--db=mp", "--sys_in=mol", "--Verb=0", "--n_points=36"} <= set(calls[0])
    mode, pressure, temperature, *bulk = map(float, calls[0][-1].split())
    assert (mode, pressure, temperature) == (0.0, PRESSURE[0], TEMPERATURE[0])
    assert bulk == [64.6, 13.7, 1.6, 5.5, 8.0, 2.9, 2.0, 0.9, 0.65, 0.0, 40.0]


def test_axes_that_are_no_round_numbers_come_back_as_they_were_given(tmp_path, monkeypatch):
    install_magemin(tmp_path, monkeypatch)
    pressure, temperature = np.linspace(3, 10, 7), np.linspace(500, 600, 7)
    table = make_equilibrium_table(BULK, pressure, temperature)
    np.testing.assert_array_equal(table["pressure_kbar"], pressure)
    np.testing.assert_array_equal(table["temperature_C"], temperature)


def test_workers_side_by_side_give_the_same_table_as_one(tmp_path, monkeypatch):
    install_magemin(tmp_path, monkeypatch)
    one = make_equilibrium_table(BULK, PRESSURE, TEMPERATURE, workers=1)
    many = make_equilibrium_table(BULK, PRESSURE, TEMPERATURE, workers=3)
    xr.testing.assert_identical(one, many)


def test_the_bar_counts_the_points(tmp_path, monkeypatch, capsys):
    install_magemin(tmp_path, monkeypatch)
    make_equilibrium_table(BULK, PRESSURE, TEMPERATURE, progress=True)
    assert "72 of 72 points" in capsys.readouterr().err
    make_equilibrium_table(BULK, PRESSURE, TEMPERATURE, progress=False)
    assert capsys.readouterr().err == ""


def test_bulks_that_lost_garnet_become_a_fractionation_axis(tmp_path, monkeypatch):
    log = install_magemin(tmp_path, monkeypatch, failing="int(bulk[9] < 0.1 and pressure == 3.0)")
    bulks = [BULK, BULK | {"MnO": 0.05}]
    table = make_equilibrium_table(bulks, PRESSURE, TEMPERATURE, removed=[0.0, 0.02])
    assert table["X_alm"].dims == ("removed", "pressure_kbar", "temperature_C")
    np.testing.assert_array_equal(table["removed"], [0.0, 0.02])
    np.testing.assert_allclose(table["X_sps"][0], expected()["X_sps"], atol=1e-8)
    # The second bulk fails at the lowest pressure, which shows whose results stand where.
    assert np.isfinite(table["garnet_mode"][0]).all()
    assert np.isnan(table["garnet_mode"][1, 0]).all()
    assert np.isfinite(table["garnet_mode"][1, 1:]).all()
    assert table.attrs["notes"] == "removed = 0.02: 8 point(s) have no result"
    manganese = {line.split()[-2] for line in log.read_text().splitlines()}
    assert manganese == {"0.18", "0.05"}
    EquilibriumTable.from_dataset(table)


def test_points_that_did_not_converge_are_nan_and_counted(tmp_path, monkeypatch):
    install_magemin(tmp_path, monkeypatch, failing="int(pressure > 10.5)")
    table = make_equilibrium_table(BULK, PRESSURE, TEMPERATURE)
    assert np.isnan(table["garnet_mode"][-1]).all()
    assert np.isnan(table["X_alm"][-1]).all()
    assert table.attrs["notes"] == "8 point(s) have no result"


def test_a_made_table_serves_the_model_and_survives_the_disk(tmp_path, monkeypatch):
    install_magemin(tmp_path, monkeypatch)
    made = make_equilibrium_table(BULK, PRESSURE, TEMPERATURE)
    assert EquilibriumTable.from_dataset(made) is not None
    write_equilibrium_table(made, tmp_path / "made.nc")
    again = read_netcdf(tmp_path / "made.nc")
    for name in (*NAMES, "garnet_mode"):
        np.testing.assert_array_equal(again[name], made[name])
    assert again.attrs["bulk"] == made.attrs["bulk"]


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("sys.exit('no such database')", "exit code 1 and wrote no output.*no such database"),
        ("", "exit code 0 and wrote no output.*nothing"),
        (WRITES + "\nsys.exit('out of memory')", "exit code 1 and wrote its.*out of memory"),
        (WRITES.replace("(text)", "('')"), "is empty"),
        (WRITES.replace("(text)", "(text[: len(text) // 2])"), "cut off"),
        (
            WRITES.replace("(text)", "(text[: text.rindex('\\n\\n', 0, -2) + 2])"),
            "wrote 35 of 36 points",
        ),
    ],
)
def test_an_engine_that_breaks_off_is_reported_with_its_own_words(
    tmp_path, monkeypatch, ending, message
):
    install_magemin(tmp_path, monkeypatch, ending=ending)
    with pytest.raises(FormatError, match=message):
        make_equilibrium_table(BULK, PRESSURE, TEMPERATURE, workers=1)


def test_an_engine_that_hangs_is_stopped(tmp_path, monkeypatch):
    install_magemin(tmp_path, monkeypatch, ending="import time; time.sleep(60)")
    with pytest.raises(FormatError, match="did not finish 36 points within 1 s"):
        make_equilibrium_table(BULK, PRESSURE, TEMPERATURE, MAGEMin(timeout_s=1.0), workers=2)


def test_results_at_other_conditions_than_asked_for_are_refused(tmp_path, monkeypatch):
    install_magemin(
        tmp_path, monkeypatch, ending=WRITES.replace("(text)", "(text.replace('460.0', '461.0'))")
    )
    with pytest.raises(FormatError, match="other values of temperature_C"):
        make_equilibrium_table(BULK, PRESSURE, TEMPERATURE)


def test_a_rock_without_garnet_is_refused(tmp_path, monkeypatch):
    install_magemin(tmp_path, monkeypatch)
    with pytest.raises(DataError, match="no garnet at any node"):
        make_equilibrium_table(BULK, [1.0, 2.0], [300.0, 310.0])


def test_without_magemin_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"MAGEMin is not installed.*Theriak"):
        make_equilibrium_table(BULK, PRESSURE, TEMPERATURE)


@pytest.mark.parametrize(
    ("bulk", "message"),
    [
        (BULK | {"Si02": 1.0}, "'Si02' is no oxide of the database.*SiO2"),
        (BULK | {"MgO": -1.0}, "MgO is -1"),
        (BULK | {"MgO": float("nan")}, "MgO is nan"),
        (dict.fromkeys(BULK, 0.0), "all amounts are 0"),
    ],
)
def test_a_bulk_that_cannot_be_is_refused(tmp_path, monkeypatch, bulk, message):
    install_magemin(tmp_path, monkeypatch)
    with pytest.raises(DataError, match=message):
        make_equilibrium_table(bulk, PRESSURE, TEMPERATURE)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pressure_kbar": [5.0]}, "pressure_kbar must hold two or more"),
        ({"temperature_C": [600.0, 500.0]}, "temperature_C must hold two or more increasing"),
        ({"removed": [0.0, 0.1]}, "one bulk for each value of removed"),
        ({"bulk": [BULK, BULK]}, "got 2 bulk.* and none"),
        ({"bulk": [BULK, BULK], "removed": [0.1, 0.0]}, "removed must hold"),
        ({"workers": 0}, "workers must be 1 or more"),
        ({"engine": MAGEMin(database="ig")}, "database 'ig' are not known here; give oxides"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(tmp_path, monkeypatch, changed, message):
    install_magemin(tmp_path, monkeypatch)
    arguments = {"bulk": BULK, "pressure_kbar": PRESSURE, "temperature_C": TEMPERATURE} | changed
    with pytest.raises(ConfigurationError, match=message):
        make_equilibrium_table(**arguments)


def test_another_database_works_with_its_order_of_oxides(tmp_path, monkeypatch):
    log = install_magemin(tmp_path, monkeypatch)
    engine = MAGEMin(database="xy", oxides=("H2O", "SiO2"))
    table = make_equilibrium_table({"SiO2": 2.0, "H2O": 1.0}, PRESSURE, TEMPERATURE, engine)
    assert table.attrs["database"] == "xy"
    assert "--db=xy" in log.read_text()
    assert log.read_text().splitlines()[0].endswith(" 1 2")


# pytheriak's interface (1.2): minimisation(bar, degC, bulk) gives a rock and names of elements, or
# Theriak's text and an empty list where it failed. Garnet here holds 10 % of its iron as Fe3+.
FAKE_PYTHERIAK = """
import dataclasses, pathlib


@dataclasses.dataclass
class Mineral:
    name: str
    vol: float
    composition_apfu: list


@dataclasses.dataclass
class Rock:
    mineral_assemblage: list


class TherCaller:
    def __init__(self, programs_dir, database, theriak_version, verbose):
        assert pathlib.Path(programs_dir, "theriak").is_file()
        assert pathlib.Path(database).is_file(), "Theriak looks in the working folder"
        assert pathlib.Path("theriak.ini").is_file()

    def minimisation(self, pressure, temperature, bulk):
        pathlib.Path("THERIN").write_text(bulk)
        elements = [word.partition("(")[0] for word in bulk.split(")")[:-1]]
        if temperature == 600.0 and pressure > 10000:
            return "** activity test", []
        if temperature == 600.0 and pressure > 9000:
            return "** activity test"
        if temperature > 700:
            raise ValueError("' equilibrium assemblage:' is not in list")
        solids = [Mineral("BI_phl", 3.0, [1.0] * len(elements))]
        if temperature > 500:
            ca = pressure / 1e5
            garnet = {{"SI": 3.0, "AL": 2.0, "FE": 1.8, "MG": 0.9 - ca, "CA": ca, "MN": 0.3}}
            garnet["O"] = 12.0
            if "FE3" in {kind!r}:  # 0.2 of 2.0 Fe replaces Al
                garnet |= {{"FE": 2.0, "AL": 1.8}}
            small = Mineral("GRT#2_gr", 0.1, [1.0] * len(elements))
            solids += [Mineral("GRT_alm", 1.0, [garnet.get(e, 0.0) for e in elements]), small]
        return Rock(solids), elements
"""
ELEMENTS = {"Si": 60.0, "Al": 25.0, "Fe": 8.0, "Mg": 5.0, "Ca": 2.0, "Mn": 0.2, "K": 3.0, "H": 80.0}


@pytest.fixture
def theriak(tmp_path, monkeypatch):
    """Stand-ins for pytheriak and Theriak-Domino, and the engine that uses them."""
    for name in [name for name in sys.modules if name.startswith("pytheriak")]:
        monkeypatch.delitem(sys.modules, name)

    def install(kind: str = "FE2") -> Theriak:
        package = tmp_path / "packages" / "pytheriak"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "wrapper.py").write_text(FAKE_PYTHERIAK.format(kind=kind))
        monkeypatch.syspath_prepend(str(package.parent))
        programs = tmp_path / "Programs"
        programs.mkdir()
        (programs / "theriak").write_text("")
        (programs / "theriak.ini").write_text("")
        (tmp_path / "ds62.txt").write_text("data\n")
        return Theriak(str(programs), str(tmp_path / "ds62.txt"))

    return install


def test_theriak_gives_the_most_abundant_garnet_and_its_share_of_the_solids(theriak):
    pressure, temperature = [4.0, 8.0], [480.0, 520.0, 560.0]
    table = make_equilibrium_table(ELEMENTS, pressure, temperature, theriak())
    assert np.isnan(table["X_alm"][:, 0]).all()
    assert (table["garnet_mode"][:, 0] == 0).all()
    np.testing.assert_allclose(table["X_alm"][:, 1:], 0.6)
    np.testing.assert_allclose(table["X_sps"][:, 1:], 0.1)
    np.testing.assert_allclose(table["X_grs"][:, 1], [0.04 / 3, 0.08 / 3])
    np.testing.assert_allclose(table["garnet_mode"][:, 1:], 1.0 / 4.1)
    assert table.attrs["engine"] == "Theriak-Domino"
    assert table.attrs["database"] == "ds62.txt"


def test_ferric_iron_that_theriak_counts_as_iron_is_left_out_by_charge(theriak):
    table = make_equilibrium_table(ELEMENTS, [4.0, 8.0], [520.0, 560.0], theriak("FE3"))
    # 2.0 Fe on 12 O with 3 Si and 1.8 Al balances with 0.2 Fe3+, so 1.8 Fe2+ as before.
    np.testing.assert_allclose(table["X_alm"], 0.6)


def test_minimisations_that_theriak_gives_up_are_nan(theriak):
    table = make_equilibrium_table(ELEMENTS, [8.0, 9.5, 10.5], [520.0, 600.0], theriak())
    np.testing.assert_array_equal(np.isnan(table["garnet_mode"]), [[0, 0], [0, 1], [0, 1]])
    assert table.attrs["notes"] == "2 point(s) have no result"


def test_output_of_theriak_that_cannot_be_read_names_the_conditions(theriak):
    with pytest.raises(FormatError, match=r"Theriak at 8 kbar, 750 degC.*is not in list"):
        make_equilibrium_table(ELEMENTS, [8.0, 9.0], [750.0, 760.0], theriak(), workers=1)


@pytest.mark.parametrize(
    ("bulk", "message"),
    [
        ({"SiO2": 60.0}, "'SIO2' is no element known here; Theriak takes mol of elements"),
        ({"Si": -1.0}, "SI is -1"),
        ({"Si": 0.0}, "all amounts are 0"),
    ],
)
def test_a_bulk_that_theriak_cannot_take_is_refused(theriak, bulk, message):
    with pytest.raises(DataError, match=message):
        make_equilibrium_table(bulk, PRESSURE, TEMPERATURE, theriak())


def test_theriak_says_which_of_its_parts_is_missing(theriak, tmp_path):
    nowhere = Theriak(str(tmp_path), str(tmp_path / "ds62.txt"))
    with pytest.raises(ConfigurationError, match="pip install pytheriak"):
        make_equilibrium_table(ELEMENTS, PRESSURE, TEMPERATURE, nowhere)
    engine = theriak()
    with pytest.raises(ConfigurationError, match="has no program 'theriak'"):
        make_equilibrium_table(ELEMENTS, PRESSURE, TEMPERATURE, nowhere)
    (tmp_path / "ds62.txt").unlink()
    with pytest.raises(ConfigurationError, match="no such database file"):
        make_equilibrium_table(ELEMENTS, PRESSURE, TEMPERATURE, engine)
