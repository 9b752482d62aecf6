"""A study: a few problems in a row, each made from the fits of those before it."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from petro_models.errors import ConfigurationError, DataError, FormatError, nearest
from petro_models.io.fits import load, save
from petro_models.problem import InverseProblem, check

logger = logging.getLogger("petro_models")

SUFFIX = ".nc"
KEY_LENGTH = 16

type MakeProblem = Callable[..., InverseProblem]
"""Takes the fits of the stages that are needed, in their order; gives the problem to fit."""


@dataclass
class Stage:
    """One problem of a study.

    Attributes
    ----------
    name
        Of the stage and its files.
    make
        Makes the problem from the fits it needs.
    needs
        Stages whose fits it takes.
    priors
        Edits, by name, on top of what `make` does.
    sampler
        Options of `InverseProblem.fit`.
    """

    name: str
    make: MakeProblem
    needs: tuple[str, ...] = ()
    priors: dict[str, Any] = field(default_factory=dict)
    sampler: dict[str, Any] = field(default_factory=dict)

    def problem(self, fits: Mapping[str, xr.DataTree]) -> InverseProblem:
        """Make the problem, its priors edited, from the fits so far."""
        made = self.make(*(fits[name] for name in self.needs))
        for name, prior in self.priors.items():
            made.priors[name] = prior
        return made


class Study:
    """Problems in a row, fitted once each: what did not change is not fitted again.

    A stage is known by what it fits: data, options and priors of its problem and the options of
    its sampler. Edit a prior of the last stage, and only that stage runs; edit one of the first,
    and all that follows from it runs. Every fit stays in the study's folder under its key, so that
    going back to an earlier choice costs nothing.

    Parameters
    ----------
    folder
        Where the fits are kept; made if it does not exist.

    Examples
    --------
    >>> study = Study("out/section")  # doctest: +SKIP
    >>> study.add("maps", lambda: petro.PhaseMaps(maps, spots))  # doctest: +SKIP
    >>> study.add(
    ...     "history",
    ...     lambda maps: petro.Histories(petro.garnet_sections(maps), table),
    ...     needs=["maps"],
    ... )  # doctest: +SKIP
    >>> study.run()["history"]["derived"]  # doctest: +SKIP
    >>> study["history"].priors["model_error"] = 0.002  # doctest: +SKIP
    >>> study.run()  # fits the history only  # doctest: +SKIP
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.stages: dict[str, Stage] = {}
        self.fits: dict[str, xr.DataTree] = {}
        self.fitted: list[str] = []
        """Stages that the last run fitted; the others were at hand."""
        self.stopped: dict[str, str] = {}
        """Stages that the data of a partial run did not reach, and why."""

    def add(
        self,
        name: str,
        make: MakeProblem,
        needs: Sequence[str] = (),
        *,
        priors: Mapping[str, Any] | None = None,
        **sampler: Any,
    ) -> Stage:
        """Add a stage after those it needs.

        Parameters
        ----------
        name
            Letters, digits, ``-`` and ``_``: it names files.
        make
            Makes the problem; gets the fits of `needs` in their order.
        needs
            Stages added before.
        priors
            Edits of the problem's priors, by name.
        **sampler
            Options of `InverseProblem.fit`, such as ``method``, ``draws``, ``seed``.

        Raises
        ------
        ConfigurationError
            If the name is taken or cannot name a file, or a needed stage is not there.
        """
        if not name or not name.replace("-", "").replace("_", "").isalnum():
            raise ConfigurationError(f"a stage is named by letters, digits, - and _; got '{name}'")
        if name in self.stages:
            raise ConfigurationError(f"this study has a stage '{name}' already")
        for needed in needs:
            if needed not in self.stages:
                raise ConfigurationError(
                    f"stage '{name}' needs '{needed}', which was not added before it: "
                    f"{nearest(needed, self.stages)}"
                )
        stage = Stage(name, make, tuple(needs), dict(priors or {}), sampler)
        self.stages[name] = stage
        return stage

    def __getitem__(self, name: str) -> Stage:
        if name not in self.stages:
            raise ConfigurationError(f"no stage is named '{name}': {nearest(name, self.stages)}")
        return self.stages[name]

    def run(
        self, progressbar: bool | None = None, *, partial: bool = False
    ) -> dict[str, xr.DataTree]:
        """Fit every stage that changed, in order; give all fits by stage.

        Parameters
        ----------
        progressbar
            Whether to show one.
        partial
            Go as far as the data allow: a stage that they do not suffice for is left out, with
            those that need it, and `stopped` and the report say why.

        Raises
        ------
        PetroError
            Whatever a stage raises (of a partial run, whatever is no `DataError`); fits of the
            stages before it are kept.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.fits, self.fitted, self.stopped = {}, [], {}
        for name, stage in self.stages.items():
            if missing := [needed for needed in stage.needs if needed in self.stopped]:
                self._stop(name, f"needs {', '.join(missing)}, which stopped")
                continue
            try:
                self.fits[name] = self._fit(stage, progressbar)
            except DataError as error:
                if not partial:
                    raise
                self._stop(name, str(error))
        return self.fits

    def _fit(self, stage: Stage, progressbar: bool | None) -> xr.DataTree:
        problem = stage.problem(self.fits)
        found = self._stored(stage, problem)
        if found is not None:
            return found
        logger.info("study: fitting %s", stage.name)
        fit = problem.fit(**stage.sampler, progressbar=progressbar)
        save(fit, self.file_of(stage, problem))
        self.fitted.append(stage.name)
        # As stored: what follows sees the same numbers in this run and in later ones.
        return load(self.file_of(stage, problem))

    def _stop(self, name: str, reason: str) -> None:
        self.stopped[name] = reason
        logger.warning("study: %s stops here: %s", name, reason)

    def file_of(self, stage: Stage, problem: InverseProblem) -> Path:
        """Name the file of a stage's fit by what it is a fit of."""
        options = json.dumps(stage.sampler, sort_keys=True, default=str)
        key = hashlib.sha256(f"{problem.model_id}\n{options}".encode()).hexdigest()[:KEY_LENGTH]
        return self.folder / f"{stage.name}.{key}{SUFFIX}"

    def report(self, path: str | Path) -> Path:
        """Write one page of all stages: what each found, its checks, and the variance budget.

        Raises
        ------
        ConfigurationError
            If the study was not run, or no stage was fitted.
        """
        from petro_models.study.page import write_study_page

        if not self.fits or {*self.fits, *self.stopped} != set(self.stages):
            raise ConfigurationError("run the study before its report: study.run()")
        return write_study_page(self, path)

    def __repr__(self) -> str:
        lines = [f"Study in {self.folder.name}"]
        for name, stage in self.stages.items():
            after = f" <- {', '.join(stage.needs)}" if stage.needs else ""
            state = f"stopped: {self.stopped[name]}" if name in self.stopped else "not run"
            if name in self.fits:
                done = "fitted" if name in self.fitted else "at hand"
                state = f"{done}, {check(self.fits[name]).verdict}"
            lines.append(f"  {name}{after}: {state}")
        return "\n".join(lines)

    def _stored(self, stage: Stage, problem: InverseProblem) -> xr.DataTree | None:
        """Load the fit of a stage if there is one; one that cannot be read is fitted anew."""
        file = self.file_of(stage, problem)
        if not file.exists():
            return None
        try:
            return load(file)
        except FormatError as error:
            logger.warning("study: %s is fitted again: %s", stage.name, error)
            return None
