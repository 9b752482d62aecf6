"""Problem files: TOML -> checked configuration -> problem, and back with every value in force."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from petro_models import configuration_schema as schema
from petro_models.configuration_schema import (
    Key,
    Kind,
    Section,
    Values,
    check_section,
    template_lines,
)
from petro_models.errors import ConfigurationError, PetroError, PriorError, nearest
from petro_models.histories.problem import Histories
from petro_models.histories.problem_file import HISTORIES
from petro_models.mass_transfer.problem import MassTransfer
from petro_models.mass_transfer.problem_file import MASS_TRANSFER
from petro_models.phase_maps.problem import PhaseMaps
from petro_models.phase_maps.problem_file import PHASE_MAPS
from petro_models.problem import METHODS, InverseProblem

KINDS: dict[str, Kind] = {
    MassTransfer.kind: MASS_TRANSFER,
    PhaseMaps.kind: PHASE_MAPS,
    Histories.kind: HISTORIES,
}
"""What the file of each kind of problem holds; a new kind of problem is one more entry."""

ENGINE: Section = {
    "kind": Key(
        schema.one_of(("serial", "local", "slurm", "array")),
        "serial",
        "serial: at once; local: processes of this machine; slurm: jobs that come and go; array",
    ),
    "workers": Key(
        schema.whole(1),
        meaning="processes (local; by default one a GPU, else one a core), most jobs (slurm; 4)",
        example=4,
    ),
    "tile_rows": Key(
        schema.whole(1), meaning="rows of a phase map that are one item of work", example=256
    ),
    "partition": Key(schema.TEXT, meaning="of Slurm", example="gpu"),
    "account": Key(schema.TEXT, meaning="of Slurm", example="my-project"),
    "cores": Key(schema.whole(1), meaning="of a Slurm job", example=4),
    "memory": Key(schema.TEXT, meaning="of a Slurm job", example="16GB"),
    "walltime": Key(schema.TEXT, meaning="of a Slurm job", example="01:00:00"),
    "gpus": Key(schema.whole(0), meaning="of a Slurm job; one process each", example=1),
    "directives": Key(
        schema.list_of(schema.TEXT, "a list of texts"),
        meaning="more options of sbatch",
        example=["--constraint=a100"],
    ),
    "prologue": Key(
        schema.list_of(schema.TEXT, "a list of texts"),
        meaning="lines of shell before a worker starts",
        example=["module load cuda"],
    ),
    "interface": Key(schema.TEXT, meaning="network between the nodes", example="ib0"),
    "address": Key(schema.TEXT, meaning="where workers find this machine", example="10.0.0.1"),
}
"""Where a fit is computed; only `kind` is needed."""

COMMON: dict[str, Section] = {
    "sampler": {
        "method": Key(schema.one_of(METHODS), "auto", "auto picks by the problem's structure"),
        "draws": Key(schema.whole(1), 1000, "kept draws of each chain"),
        "chains": Key(schema.whole(1), 4, "independent chains"),
        "tune": Key(
            schema.whole(0),
            None,
            "adaptation steps of each chain: nuts 1000, hmc 300",
            example=1000,
        ),
        "seed": Key(schema.whole(0), 0, "same seed, same result"),
        "backend": Key(schema.one_of(("numpyro", "nutpie")), "numpyro", "implementation of nuts"),
        "target_accept": Key(
            schema.SHARE, None, "acceptance aimed at: nuts 0.9, hmc 0.8", example=0.9
        ),
        "log_likelihood": Key(schema.FLAG, False, "keep the log likelihood in the fit"),
    },
    "engine": ENGINE,
    "output": {
        "folder": Key(schema.TEXT, "results", "from the place of this file"),
        "fit": Key(
            schema.plain_file((".nc", ".zarr")), "fit.nc", "draws, data, priors and verdicts"
        ),
        "report": Key(schema.plain_file((".html",)), "report.html", "one self-contained page"),
    },
}
"""The sections that every kind of problem shares."""

RESOLVED = "resolved.toml"
"""Name of the file that holds the configuration in force, beside the results."""


@dataclass(frozen=True)
class Configuration:
    """A checked problem file: every section with its values in force (unset keys are absent)."""

    file: Path
    sections: dict[str, Values]

    @property
    def kind(self) -> str:
        """Kind of the problem."""
        return self.sections["problem"]["kind"]

    @property
    def output_folder(self) -> Path:
        """Folder of the results; a relative one stands beside the problem file."""
        return self.file.parent / self.sections["output"]["folder"]

    def updated(self, section: str, **values: object) -> "Configuration":
        """Give the configuration with some values of a common section replaced.

        Raises
        ------
        ConfigurationError
            If a value is not acceptable.
        """
        merged = {**self.sections[section], **values}
        checked = check_section(merged, COMMON[section], f"option of [{section}]")
        return replace(self, sections={**self.sections, section: checked})


def load_configuration(path: str | Path) -> Configuration:
    """Read and check a problem file; data and priors are looked into by `make_problem`.

    Parameters
    ----------
    path
        TOML with the sections ``[problem] [data] [priors] [sampler] [engine] [output]``; only
        ``kind`` of ``[problem]`` and the data must be given.

    Raises
    ------
    ConfigurationError
        If there is no such file, it is not TOML, or a section, key or value is not known.
    """
    file = Path(path)
    document = _parse(file)
    kind_name = _kind(document, file)
    kind = KINDS[kind_name]
    kind_key = Key(schema.one_of(tuple(KINDS)), kind_name)
    schemas = {"problem": {"kind": kind_key, **kind.problem}, "data": kind.data, "priors": None}
    schemas |= COMMON
    for name, content in document.items():
        if name not in schemas:
            hint = nearest(name, schemas)
            raise ConfigurationError(f"{file}: no section is named '{name}': {hint}")
        if not isinstance(content, dict):
            raise ConfigurationError(f"{file}: {name} must be a section, [{name}]; got {content!r}")
    sections = {}
    for name, section in schemas.items():
        given = document.get(name, {})
        sections[name] = (
            dict(given) if section is None else check_section(given, section, f"{file} [{name}]")
        )
    with _located(file, "data"):
        sections["data"] = kind.settle(sections["data"])
    return Configuration(file, sections)


def make_problem(configuration: Configuration) -> InverseProblem:
    """Read the data and make the problem, with the priors of the file in force.

    Raises
    ------
    PetroError
        If data, options or priors cannot be used; the message names file and section.
    """
    kind, file, sections = KINDS[configuration.kind], configuration.file, configuration.sections
    with _located(file, "data"):
        data = kind.read(sections["data"], file.parent)
    options = {name: value for name, value in sections["problem"].items() if name != "kind"}
    with _located(file, "problem"):
        problem = InverseProblem.registry[configuration.kind].from_options(data, options)
    with _located(file, "priors"):
        named = {
            name: _named_prior(problem, name, value, kind)
            for name, value in sections["priors"].items()
        }
        problem.priors.update_from(named)
    return problem


def resolve(configuration: Configuration, problem: InverseProblem, folder: Path) -> str:
    """Write the configuration in force as TOML that makes the same fit again.

    Parameters
    ----------
    configuration
        The checked problem file.
    problem
        The problem made from it; all its priors are written.
    folder
        Where the text will stand: it names files from there.
    """
    sections = {name: dict(values) for name, values in configuration.sections.items()}
    schemas: dict[str, Section] = {"data": KINDS[configuration.kind].data, **COMMON}
    for name, key in schemas["data"].items():
        if key.is_path and name in sections["data"]:
            here = configuration.file.parent / sections["data"][name]
            sections["data"][name] = _path_from(folder, here)
    sections["priors"] = tomllib.loads(problem.priors.to_toml())
    sections["output"]["folder"] = "."
    unset = [
        f"{name}.{k}" for name, keys in schemas.items() for k in keys if k not in sections[name]
    ]
    heading = [
        f"# Every value in force; model id {problem.model_id}.",
        f"# The same fit again: petro-models fit {RESOLVED}",
        f"# Not set: {', '.join(unset) or 'nothing'}",
    ]
    return "\n".join([*heading, "", tomli_w.dumps(sections)])


def template(kind: str = MassTransfer.kind) -> str:
    """Write a problem file to start from: every key with its meaning and a default or example.

    Parameters
    ----------
    kind
        Of the problem.

    Raises
    ------
    ConfigurationError
        If there is no such kind.

    Examples
    --------
    >>> print(template().splitlines()[3])
    kind = "mass-transfer"
    """
    if kind not in KINDS:
        raise ConfigurationError(f"no kind of problem is named '{kind}': {nearest(kind, KINDS)}")
    parts = [
        "# A problem for petro-models: uncomment what you need, then `petro-models fit` this file.",
        "",
        "[problem]",
        f'kind = "{kind}"',
        *template_lines(KINDS[kind].problem),
        "",
        "[data]",
        *template_lines(KINDS[kind].data),
        "",
        "[priors]",
        KINDS[kind].prior_example,
    ]
    for name, section in COMMON.items():
        parts += ["", f"[{name}]", *template_lines(section)]
    return "\n".join(parts) + "\n"


def _parse(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        if isinstance(error, tomllib.TOMLDecodeError):
            found = re.search(r" \(at line (\d+), column (\d+)\)$", str(error))
            what = str(error)[: found.start()] if found else str(error)
            place = f"{file}:{found[1]}, column {found[2]}" if found else str(file)
            raise ConfigurationError(f"{place}: not valid TOML: {what}") from error
        reason = getattr(error, "strerror", None) or "not a text file in UTF-8"
        raise ConfigurationError(f"{file}: cannot be read: {reason}") from error


def _kind(document: Mapping[str, Any], file: Path) -> str:
    """Find the kind of problem, which decides on the other keys."""
    problem = document.get("problem", {})
    kind = problem.get("kind") if isinstance(problem, dict) else None
    known = list(KINDS)
    if kind is None:
        raise ConfigurationError(
            f'{file} [problem]: kind is missing, such as kind = "{known[0]}". '
            f"Known kinds: {', '.join(known)}"
        )
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigurationError(
            f"{file} [problem]: no kind of problem is named {kind!r}: {nearest(str(kind), KINDS)}"
        )
    return kind


def _named_prior(problem: InverseProblem, name: str, value: object, kind: Kind) -> object:
    """Put what a word such as "geochemical" stands for in its place."""
    words = kind.named_priors.get(name, {})
    if not isinstance(value, str) or not words:
        return value
    if value not in words:
        raise PriorError(
            f"{name} = '{value}' is not known: {nearest(value, words)}; or give a number, a table "
            "of numbers or a distribution"
        )
    return words[value](problem)


@contextmanager
def _located(file: Path, section: str) -> Iterator[None]:
    """Put file and section before the message of an error."""
    try:
        yield
    except PetroError as error:
        raise type(error)(f"{file} [{section}]: {error}") from error


def _path_from(folder: Path, target: Path) -> str:
    """Name a file from a folder; whole where no relative path leads there (another drive)."""
    try:
        return Path(os.path.relpath(target.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return target.resolve().as_posix()
