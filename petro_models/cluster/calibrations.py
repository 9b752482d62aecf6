"""The work of a calibration: one replicate an item."""

import json
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import xarray as xr

from petro_models.calibration import (
    CalibrationResult,
    Replicate,
    Settings,
    draw_truths,
    fit_replicate,
    summarise,
)
from petro_models.cluster.records import write_json
from petro_models.cluster.work import Plan, Work, identity_of, records_of
from petro_models.io.fits import load, write_text
from petro_models.io.staging import replacing, staged
from petro_models.problem import InverseProblem, problem_of
from petro_models.report.calibration_page import write_calibration_page

PROBLEM, TRUTHS, DATA = "problem.nc", "truths.nc", "data.nc"
REPLICATES = "replicates"
PAGE, FIGURES = "calibration.html", "calibration.json"


class Calibrations(Work):
    """One replicate an item: data drawn from a problem's model, and fitted."""

    kind: ClassVar[str] = "calibration"

    def compute(self, index: int) -> str:
        """Fit one replicate; write its truths and draws."""
        found = fit_replicate(self.problem, self._truths, index, self.settings)
        ranked = {name: [true, values.tolist()] for name, (true, values) in found.ranked.items()}
        write_json(_replicate(self.folder, index), {"status": found.status, "ranked": ranked})
        return found.status

    def merge(self) -> list[Path]:
        """Write page and figures."""
        write_calibration(self.result(), self.target)
        return [self.target / PAGE]

    def result(self) -> CalibrationResult:
        """Rank the truths of all replicates, all of which are done."""
        found = []
        for index in range(len(self.plan.items)):
            stored = json.loads(_replicate(self.folder, index).read_text(encoding="utf-8"))
            found.append(Replicate(stored["status"], stored["ranked"]))
        seconds = sum(record.seconds for record in records_of(self.folder))
        return summarise(self.problem, found, self.settings, seconds)

    @property
    def settings(self) -> Settings:
        """What the calibration does."""
        return Settings(**self.plan.options)

    @cached_property
    def problem(self) -> InverseProblem:
        """Whose design and priors the replicates have."""
        return problem_of(load(self.folder / PROBLEM))

    @cached_property
    def _truths(self) -> tuple[xr.Dataset, xr.Dataset]:
        truths, data = (xr.load_dataset(self.folder / name) for name in (TRUTHS, DATA))
        return truths, data


def plan_calibration(problem: InverseProblem, settings: Settings) -> Plan:
    """Make a plan of a calibration."""
    items = tuple(f"replicate {number + 1}" for number in range(settings.replicates))
    options = asdict(settings)
    identity = identity_of(Calibrations.kind, problem.model_id, options)
    return Plan(Calibrations.kind, items, 0, identity, options)


def lay_down_calibration(folder: Path, problem: InverseProblem, settings: Settings) -> None:
    """Draw truths and data, and write them and the problem into the folder of a run."""
    truths, data = draw_truths(problem, settings)
    (folder / REPLICATES).mkdir(exist_ok=True)
    with replacing(folder / PROBLEM) as part:
        problem.to_tree().to_netcdf(part, engine="netcdf4")
    for name, values in ((TRUTHS, truths), (DATA, data)):
        with replacing(folder / name) as part:
            values.to_netcdf(part, engine="netcdf4")


def write_calibration(result: CalibrationResult, target: Path) -> None:
    """Write page and figures of a calibration into a folder, both or none."""
    with staged(target) as stage:
        write_calibration_page(result, stage / PAGE)
        write_text(result.to_json(), stage / FIGURES)


def _replicate(folder: Path, index: int) -> Path:
    return folder / REPLICATES / f"{index:06d}.json"
