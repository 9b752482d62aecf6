"""Problem files: what they may hold, how they fail, and that the resolved one says it all."""

import inspect
import tomllib
from pathlib import Path

import pytest

from petro_models import configuration_schema
from petro_models.configuration import (
    COMMON,
    KINDS,
    Configuration,
    load_configuration,
    make_problem,
    resolve,
    template,
)
from petro_models.errors import ConfigurationError, DataError, FitError, PetroError, PriorError
from petro_models.io.epma_out import write_epma, write_spots
from petro_models.io.mass_tables import read_mass_table
from petro_models.io.mass_tables_out import write_mass_table
from petro_models.mass_transfer.problem_file import READING_DEFAULTS
from petro_models.mass_transfer.simulate import simulate_mass_table
from petro_models.phase_maps.simulate import simulate_phase_maps
from petro_models.problem import InverseProblem

GRANT = '[problem]\nkind = "mass-transfer"\n[data]\ndataset = "grant2005"\n'
FULL = """
[problem]
kind = "mass-transfer"
mobility = "spike_and_slab"
mass_change = "pooled"
[data]
table = "rocks.csv"
protolith = ["P1", "P2"]
totals = "ignore"
errors = { SiO2 = 0.01 }
[priors]
tolerance = { distribution = "HalfNormal", sigma = 0.05 }
immobile_probability = "geochemical"
[sampler]
method = "auto"
draws = 500
chains = 2
tune = 700
seed = 11
backend = "numpyro"
target_accept = 0.95
log_likelihood = true
[engine]
kind = "local"
[output]
folder = "here"
fit = "my.nc"
report = "my.html"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table, _ = simulate_mass_table(n_samples=3, n_elements=6, n_protolith=2, protolith_spread=0.1)
    write_mass_table(table, tmp_path / "rocks.csv")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    file = folder / "problem.toml"
    file.write_text(text, encoding="utf-8")
    return file


def load(folder: Path, text: str) -> Configuration:
    return load_configuration(write(folder, text))


def problem_from(folder: Path, text: str) -> InverseProblem:
    return make_problem(load(folder, text))


def message(folder: Path, text: str, family: type[PetroError] = ConfigurationError) -> str:
    with pytest.raises(family) as caught:
        problem_from(folder, text)
    assert isinstance(caught.value, family)
    return str(caught.value)


# -- what is accepted ----------------------------------------------------------------------------


def test_full_file_reaches_problem_priors_and_sampler(folder):
    configuration = load(folder, FULL)
    problem = make_problem(configuration)
    assert problem.options == {"mobility": "spike_and_slab", "mass_change": "pooled"}
    assert problem.data.sizes == {"sample": 3, "protolith": 2, "element": 6}
    assert float(problem.data["relative_error"].sel(element="SiO2").max()) == 0.01
    assert problem.priors.edited == ["tolerance", "immobile_probability"]
    assert problem.priors.describe("tolerance") == "HalfNormal(sigma=0.05)"
    assert configuration.sections["sampler"]["chains"] == 2
    assert configuration.output_folder == folder / "here"


def test_short_file_has_every_default_in_force(tmp_path):
    configuration = load(tmp_path, GRANT)
    assert configuration.sections["sampler"]["seed"] == 0
    assert configuration.sections["output"]["fit"] == "fit.nc"
    assert make_problem(configuration).priors.edited == []


def test_sampler_section_is_the_signature_of_fit():
    parameters = inspect.signature(InverseProblem.fit).parameters
    expected = {
        name: parameter.default
        for name, parameter in parameters.items()
        if name not in ("self", "progressbar")
    }
    assert {name: key.default for name, key in COMMON["sampler"].items()} == expected


def test_data_section_is_the_signature_of_read_mass_table():
    parameters = set(inspect.signature(read_mass_table).parameters)
    keys = set(KINDS["mass-transfer"].data)
    assert keys == parameters - {"path"} | {"table", "dataset"}
    for name, value in READING_DEFAULTS.items():
        assert inspect.signature(read_mass_table).parameters[name].default in (value, ())


def test_every_kind_of_problem_has_its_file():
    assert set(KINDS) == set(InverseProblem.registry)


def test_geochemical_is_the_table_of_the_problem(tmp_path):
    problem = problem_from(tmp_path, GRANT + '[priors]\nimmobile_probability = "geochemical"')
    table = problem.geochemical_immobility()
    assert problem.priors.known("immobile_probability").tolist() == table.tolist()


def test_protolith_may_be_a_label_labels_or_a_column(folder):
    (folder / "rocks.csv").write_text(
        "sample,fresh,Al2O3 wt%,TiO2 wt%,Zr ppm\nU,yes,15,1,100\n7,no,14,1.1,110\n"
    )
    base = '[problem]\nkind = "mass-transfer"\n[data]\ntable = "rocks.csv"\n'
    for value in ('"U"', '["U"]', '{ fresh = "yes" }'):
        problem = problem_from(folder, f"{base}protolith = {value}")
        assert problem.data["protolith"].values.tolist() == ["U"]
    assert problem_from(folder, f"{base}protolith = 7").data["sample"].item() == "U"


def test_option_replaces_a_value_and_is_checked(tmp_path):
    configuration = load(tmp_path, GRANT).updated("sampler", seed=4)
    assert configuration.sections["sampler"]["seed"] == 4
    with pytest.raises(ConfigurationError, match="draws must be a whole number, 1 or more; got 0"):
        configuration.updated("sampler", draws=0)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "problem.toml [problem]: kind is missing"),
        ("[problem]\n", "Known kinds: mass-transfer"),
        ('problem = "x"', "kind is missing"),
        (
            '[problem]\nkind = "mass-transfr"',
            "no kind of problem is named 'mass-transfr': did you mean 'mass-transfer'?",
        ),
        ("[problem]\nkind = 3", "no kind of problem is named 3"),
        (GRANT + "[sampling]\n", "no section is named 'sampling': did you mean 'sampler'?"),
        ("output = 3\n" + GRANT, "output must be a section, [output]; got 3"),
        (
            GRANT.replace("[data]", 'mobilty = "horseshoe"\n[data]'),
            "[problem]: no key is named 'mobilty': did you mean 'mobility'?",
        ),
        (
            GRANT.replace("[data]", 'mass_change = "poold"\n[data]'),
            "[problem]: mass_change = 'poold' is not known: did you mean 'pooled'?",
        ),
        (GRANT + 'zeroes = "error"', "[data]: no key is named 'zeroes': did you mean 'zeros'?"),
        (GRANT + "[sampler]\nseeds = 1", "[sampler]: no key is named 'seeds'"),
        (
            GRANT + '[sampler]\ndraws = "many"',
            "[sampler]: draws must be a whole number, 1 or more; got 'many' (text)",
        ),
        (GRANT + "[sampler]\ndraws = 10.5", "got 10.5 (number)"),
        (GRANT + "[sampler]\nchains = true", "got True (true or false)"),
        (GRANT + "[sampler]\nlog_likelihood = 1", "must be true or false; got 1 (whole number)"),
        (GRANT + "[sampler]\ntarget_accept = 1.5", "must be a number between 0 and 1; got 1.5"),
        (GRANT + '[sampler]\nmethod = "nutz"', "method = 'nutz' is not known: did you mean 'nuts'"),
        (
            GRANT + '[engine]\nkind = "slrum"',
            "[engine]: kind = 'slrum' is not known: did you mean 'slurm'? "
            "Allowed: serial, local, slurm, array",
        ),
        (
            GRANT + '[output]\nfit = "fit.pkl"',
            "fit must be a file name without a folder, ending in",
        ),
        ("[problem\nkind", "problem.toml:1, column 9: not valid TOML"),
        ("[problem]\nkind = 1\nkind = 2\n", "problem.toml:3, column 9: not valid TOML"),
    ],
)
def test_mistake_is_named_with_file_section_and_remedy(tmp_path, text, expected):
    found = message(tmp_path, text)
    assert expected in found
    assert "problem.toml" in found


@pytest.mark.parametrize(
    "name", ["../fit.nc", "/fit.nc", "sub/fit.nc", "..\\\\fit.nc", "C:\\\\fit.nc", "", ".nc"]
)
def test_results_cannot_leave_the_output_folder(tmp_path, name):
    assert "fit must be a file name without a folder" in message(
        tmp_path, GRANT + f'[output]\nfit = "{name}"'
    )
    page = name.replace(".nc", ".html")
    assert "report must be a file name without a folder" in message(
        tmp_path, GRANT + f'[output]\nreport = "{page}"'
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", 'give either table = "FILE" or dataset = "NAME"'),
        ('table = "a.csv"\ndataset = "grant2005"', "give either table"),
        ('dataset = "grant"', "dataset = 'grant' is not known: did you mean 'grant2005'?"),
        (
            'dataset = "grant2005"\nzeros = "missing"',
            "zeros does not go with dataset = 'grant2005'",
        ),
        ('table = "rocks.csv"', "[data]: protolith is missing"),
        ('table = "rock.csv"\nprotolith = "P1"', "rock.csv: did you mean 'rocks.csv'?"),
        ('table = "none/x.csv"\nprotolith = "P1"', "[data]: table: there is no file"),
        ('table = "rocks.csv"\nprotolith = true', "protolith must be a label or a list of labels"),
        ('table = "rocks.csv"\nprotolith = "P1"\nerrors = "2 %"', "errors must be a number or a"),
        ('table = "rocks.csv"\nprotolith = "P1"\nunits = { Zr = 3 }', "units must be a text or a"),
    ],
)
def test_mistake_in_the_data_section_is_named(folder, data, expected):
    assert expected in message(folder, f'[problem]\nkind = "mass-transfer"\n[data]\n{data}')


def test_error_of_the_reader_names_problem_file_and_table(folder):
    text = '[problem]\nkind = "mass-transfer"\n[data]\ntable = "rocks.csv"\nprotolith = "P9"'
    found = message(folder, text, DataError)
    assert "problem.toml [data]: rocks.csv: no sample 'P9' to be the protolith" in found


def test_error_of_the_problem_names_its_section(tmp_path):
    text = GRANT.replace("[data]", 'mobility = "horse"\n[data]')
    assert "problem.toml [problem]: no prior on mobility is named 'horse'" in message(
        tmp_path, text, FitError
    )


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        ("tolerence = 0.1", "no prior is named 'tolerence': did you mean 'tolerance'?"),
        ("tolerance = -1", "priors['tolerance'] must stay above 0"),
        ('tolerance = "small"', "priors['tolerance'] must be a Prior"),
        ('tolerance = ["a"]', "priors.tolerance: a list must hold numbers"),
        ('mass_change = { distribution = "Normale" }', "not a distribution"),
        ('mass_change = { distribution = "Normal", mu = 0, sigma = 1, dims = 3 }', "dims must be"),
        (
            'immobile_probability = "geochem"',
            "immobile_probability = 'geochem' is not known: did you mean 'geochemical'?",
        ),
        (
            "immobile_probability = { SiO2 = 0.3 }",
            "needs a number for every element; missing: TiO2",
        ),
    ],
)
def test_mistake_in_a_prior_names_file_and_section(tmp_path, prior, expected):
    found = message(tmp_path, f"{GRANT}[priors]\n{prior}", PriorError)
    assert expected in found
    assert "problem.toml [priors]: " in found


def test_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.toml: cannot be read: No such file"):
        load_configuration(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load_configuration(tmp_path)
    (tmp_path / "latin.toml").write_bytes("# \xe4".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="not a text file in UTF-8"):
        load_configuration(tmp_path / "latin.toml")


def test_byte_order_mark_of_an_editor_is_no_mistake(tmp_path):
    (tmp_path / "bom.toml").write_text(GRANT, encoding="utf-8-sig")
    assert load_configuration(tmp_path / "bom.toml").kind == "mass-transfer"


# -- the resolved configuration ------------------------------------------------------------------


def test_resolved_file_makes_the_same_model_from_its_own_folder(folder):
    configuration = load(folder, FULL)
    problem = make_problem(configuration)
    (folder / "here").mkdir()
    text = resolve(configuration, problem, folder / "here")
    (folder / "here" / "resolved.toml").write_text(text)
    again = load_configuration(folder / "here" / "resolved.toml")
    assert make_problem(again).model_id == problem.model_id
    assert again.sections["sampler"] == configuration.sections["sampler"]
    assert again.output_folder == folder / "here"
    assert resolve(again, make_problem(again), folder / "here") == text


def test_resolved_file_holds_every_prior_and_every_key_in_force(folder):
    configuration = load(folder, FULL.replace("seed = 11\n", ""))
    problem = make_problem(configuration)
    content = tomllib.loads(resolve(configuration, problem, folder))
    assert set(content["priors"]) == set(problem.priors)
    assert set(content["sampler"]) == set(COMMON["sampler"])
    assert content["sampler"]["seed"] == 0
    assert content["data"]["zeros"] == "error"
    assert content["data"]["table"] == "rocks.csv"
    assert "data.sheet" in resolve(configuration, problem, folder).splitlines()[2]


def test_template_is_a_problem_file_but_for_the_data(tmp_path):
    text = template()
    assert "give either table" in message(tmp_path, text)
    filled = text.replace("# dataset", "dataset").replace("# tolerance", "tolerance")
    configuration = load(tmp_path, filled)
    assert configuration.sections == {
        **load(tmp_path, GRANT).sections,
        "priors": {"tolerance": 0.03},
    }


def test_template_shows_examples_that_would_be_accepted():
    section = KINDS["mass-transfer"].data
    for name, key in section.items():
        configuration_schema.check_section({name: key.example}, section, "template")
        assert f"\n# {name} = " in template()
        assert key.meaning


# -- phase maps ----------------------------------------------------------------------------------

MAPS = '[problem]\nkind = "phase-maps"\npixels = 400\n[data]\nmaps = "maps.toml"\n'


@pytest.fixture(scope="module")
def map_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    maps, spots, _ = simulate_phase_maps(48, 48, 3, 4, n_spots=24, seed=4)
    write_epma(maps, folder / "maps.toml")
    write_spots(spots, folder / "spots.csv")
    return folder


def test_map_problem_reads_maps_spots_and_formulae(map_folder):
    text = MAPS.replace("400", '400\naxes = "one"') + (
        'spots = "spots.csv"\nphases = { Quartz = "SiO2", Garnet = "", Muscovite = "" }\n'
    )
    problem = problem_from(map_folder, text)
    assert problem.options == {
        "axes": "one",
        "mixtures": "all",
        "neighbours": "auto",
        "smoothing": "none",
        "pixels": "400",
    }
    assert problem.data["phase"].values.tolist() == ["Quartz", "Garnet", "Muscovite"]
    known = problem.data["formula_wt_percent"]
    assert float(known.sel(phase="Quartz", oxide="SiO2")) == pytest.approx(100)
    assert known.sel(phase="Garnet").isnull().all()
    assert problem.data.sizes["spot"] == 24


def test_resolved_map_problem_makes_the_same_model(map_folder):
    configuration = load(map_folder, MAPS + 'spots = "spots.csv"\n')
    problem = make_problem(configuration)
    (map_folder / "results").mkdir(exist_ok=True)
    resolved = map_folder / "results" / "resolved.toml"
    resolved.write_text(resolve(configuration, problem, map_folder / "results"))
    again = load_configuration(resolved)
    assert again.sections["data"] == {
        "maps": "../maps.toml",
        "spots": "../spots.csv",
        "outside": "error",
    }
    assert make_problem(again).model_id == problem.model_id


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", 'give either maps = "PATH" or dataset = "NAME"'),
        ('maps = "maps.toml"\ndataset = "alps"', "give either maps"),
        ('maps = "maps.toml"', "nothing says what phases there are"),
        ('dataset = "alp"', "dataset = 'alp' is not known: did you mean 'alps'?"),
        ('dataset = "grant2005"', "dataset = 'grant2005' is not known"),
        ('dataset = "alps"\nstep_um = 1', "step_um does not go with dataset = 'alps'"),
        ('maps = "map.toml"\nspots = "spots.csv"', "map.toml: did you mean 'maps.toml'?"),
        ('maps = "maps.toml"\nspots = "s/x.csv"', "[data]: spots: there is no file or folder"),
        (
            'maps = "maps.toml"\nphases = ["A"]\noutside = "drop"',
            "outside speaks of spots, and none are given",
        ),
        ('maps = "maps.toml"\nphases = { Quartz = 3 }', "phases must be a list of names or a"),
    ],
)
def test_mistake_in_the_data_of_a_map_is_named(map_folder, data, expected):
    assert expected in message(map_folder, f'[problem]\nkind = "phase-maps"\n[data]\n{data}')


def test_unknown_element_of_a_condition_is_named_with_the_file(map_folder):
    text = MAPS + 'spots = "spots.csv"\ndwell_s = { Zr = 0.1 }'
    found = message(map_folder, text, PetroError)
    assert "problem.toml [data]: " in found
    assert "Zr" in found


def test_template_of_a_map_is_a_problem_file_but_for_the_data(map_folder):
    text = template("phase-maps")
    assert "give either maps" in message(map_folder, text)
    filled = text.replace("# maps =", "maps =").replace('"maps"', '"maps.toml"')
    filled = filled.replace("# spots =", "spots =")
    assert (
        load(map_folder, filled).sections
        == load(map_folder, MAPS.replace("400", "3000") + 'spots = "spots.csv"\n').sections
    )
    section = KINDS["phase-maps"].data
    for name, key in section.items():
        configuration_schema.check_section({name: key.example}, section, "template")
        assert key.meaning


def test_template_of_an_unknown_kind_names_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'phase-maps'"):
        template("phase-map")


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_has_a_template_whose_examples_would_be_accepted(kind):
    text = template(kind)
    assert tomllib.loads(text)["problem"]["kind"] == kind
    for section in (KINDS[kind].problem, KINDS[kind].data):
        for name, key in section.items():
            shown = key.default if key.default is not None else key.example
            configuration_schema.check_section({name: shown}, section, "template")
            assert key.meaning
