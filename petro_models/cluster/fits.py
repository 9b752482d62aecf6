"""The work of many fits: one problem an item, each written to a folder of its own when it is done.

Rocks with their histories, suites with their mass changes, replicates of a calibration: whatever
`problem_of` can make again from a file.
"""

import csv
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from petro_models.cluster.work import (
    RUN_FOLDER,
    Plan,
    Work,
    identity_of,
    records_of,
    seed_of,
)
from petro_models.errors import ConfigurationError
from petro_models.io.fits import load, save, write_text
from petro_models.io.staging import replacing, staged
from petro_models.problem import InverseProblem, check, problem_of

INPUTS = "problems"
TABLE = "fits.csv"
FILES = {"fit": "fit.nc", "report": "report.html"}


@dataclass(frozen=True)
class FitItem:
    """One problem to fit.

    Attributes
    ----------
    name
        Of the item, and of the folder of its results.
    problem
        To fit.
    sampler
        Arguments of `InverseProblem.fit`.
    output
        Names of the files ``fit`` and ``report``.
    extra
        Other small files for the folder of the results: name -> text.
    """

    name: str
    problem: InverseProblem
    sampler: Mapping[str, Any]
    output: Mapping[str, str]
    extra: Mapping[str, str]


class Fits(Work):
    """One problem an item."""

    kind: ClassVar[str] = "fits"

    def compute(self, index: int) -> str:
        """Fit one problem; write fit and report to its folder."""
        options = self.plan.options["fits"][index]
        problem = problem_of(load(_input(self.folder, index)))
        fit = problem.fit(**{"progressbar": False, **options["sampler"]})
        with staged(self.target / options["folder"]) as stage:
            save(fit, stage / options["output"]["fit"])
            problem.report(fit, stage / options["output"]["report"])
            for file in _extras(self.folder, index).glob("*"):
                shutil.copyfile(file, stage / file.name)
        return check(fit).verdict

    def merge(self) -> list[Path]:
        """Write a table of all fits with their verdicts, where there are several."""
        files = [
            self.target / options["folder"] / options["output"]["fit"]
            for options in self.plan.options["fits"]
        ]
        if len(files) > 1:
            with replacing(self.target / TABLE) as part, part.open("w", newline="") as file:
                table = csv.writer(file)
                table.writerow(["item", "verdict", "seconds", "fit"])
                for record, path in zip(records_of(self.folder), files, strict=True):
                    place = path.relative_to(self.target).as_posix()
                    table.writerow([record.item, record.message, record.seconds, place])
        return files


def plan_fits(items: Sequence[FitItem]) -> Plan:
    """Make a plan of fits; a single one's results go to the target itself.

    Raises
    ------
    ConfigurationError
        If two have the same name, or a name cannot be that of a folder.
    """
    names = [item.name for item in items]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"two problems are named '{name}': rename one of them")
        if Path(name).name != name or name.startswith(".") or name == RUN_FOLDER:
            raise ConfigurationError(f"'{name}' cannot be the name of a folder of results")
    fits = [
        {
            "folder": item.name if len(items) > 1 else ".",
            "sampler": dict(item.sampler),
            "output": dict(item.output),
        }
        for item in items
    ]
    identity = identity_of(Fits.kind, names, [item.problem.model_id for item in items], fits)
    return Plan(Fits.kind, tuple(names), 0, identity, {"fits": fits})


def lay_down_fits(folder: Path, items: Sequence[FitItem]) -> None:
    """Write problems into the folder of a run."""
    for index, item in enumerate(items):
        path = _input(folder, index)
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as part:
            item.problem.to_tree().to_netcdf(part, engine="netcdf4")
        _extras(folder, index).mkdir(exist_ok=True)
        for name, text in item.extra.items():
            write_text(text, _extras(folder, index) / name)


def fit_items(
    problems: Mapping[str, InverseProblem], seed: int = 0, **sampler: Any
) -> list[FitItem]:
    """Give items for problems by name, each with a seed of its own.

    Parameters
    ----------
    problems
        By name.
    seed
        The root: an item's seed depends on it and on the item's place alone.
    sampler
        Arguments of `InverseProblem.fit` for all.
    """
    return [
        FitItem(name, problem, {**sampler, "seed": seed_of(seed, index)}, FILES, {})
        for index, (name, problem) in enumerate(problems.items())
    ]


def _input(folder: Path, index: int) -> Path:
    return folder / INPUTS / f"{index:06d}.nc"


def _extras(folder: Path, index: int) -> Path:
    return folder / INPUTS / f"{index:06d}"
