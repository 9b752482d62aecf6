"""The page of a study: what each stage found and checked, and where the uncertainty comes from."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from petro_models.histories.budget import variance_budget
from petro_models.histories.plot_budget import NAMES, plot_variance_budget
from petro_models.histories.problem import Histories
from petro_models.inference.checks import ORDER
from petro_models.io.fits import write_text
from petro_models.problem import InverseProblem, check, problem_of
from petro_models.report import generic
from petro_models.report.cards import Card, Cell, Table, figure_card, number
from petro_models.report.page import page

if TYPE_CHECKING:
    from petro_models.study.study import Study

SHOWN = ("answer", "checks", "figures", "results")
"""Sections of a stage's own report that the study's page repeats."""


def write_study_page(study: "Study", path: str | Path) -> Path:
    """Write the page of a study that was run: whole, or not at all."""
    cards, verdicts = [], []
    rows: list[list[Cell | str]] = []
    for name, fit in study.fits.items():
        problem = problem_of(fit)
        verdict = check(fit).verdict
        verdicts.append(verdict)
        rows.append(
            [
                Cell(verdict, verdict),
                Cell(name, "strong"),
                problem.kind.replace("-", " "),
                ", ".join(study[name].needs) or "data alone",
                ", ".join(problem.priors.edited) or "none",
                fit.attrs["sampler"],
                f"{float(fit.attrs['wall_seconds']):.0f}",
                fit.attrs["model_id"],
            ]
        )
        cards += _of_stage(name, problem, fit)
    for name, reason in study.stopped.items():
        needed = ", ".join(study[name].needs) or "data alone"
        rows.append([Cell("stopped", "REVIEW"), Cell(name, "strong"), reason, needed])
        rows[-1] += ["", "", "", ""]
        verdicts.append("REVIEW")
    chain = Table(
        ["verdict", "stage", "problem", "made from", "priors edited", "sampler", "s", "model"],
        rows,
        "Every stage is a declared model of its own; its answers go into the next with their "
        "errors, those that are shared kept apart from those that average out.",
        frozenset({6}),
        wide=True,
    )
    first = Card("Stages", "checks", "answer", [chain])
    worst = max(verdicts, key=ORDER.__getitem__)
    title = f"Study: {', '.join(study.fits)}"
    provenance = (
        f"{len(study.fits)} of {len(study.stages)} stages · fits kept in {study.folder.name}"
    )
    return write_text(page(title, provenance, worst, [first, *cards]), path)


def _of_stage(name: str, problem: InverseProblem, fit: xr.DataTree) -> list[Card]:
    """Give a stage's own cards under its name, and its variance budget."""
    own = [*generic.cards(problem, fit), *problem._cards(fit)]
    shown = [card for card in own if card.section in SHOWN]
    if isinstance(problem, Histories) and problem.arrays.has_profiles:
        shown.append(_budget_card(fit))
    return [
        replace(card, title=f"{name}: {_lower(card.title)}", anchor=f"{name}-{card.anchor}")
        for card in shown
    ]


def _lower(title: str) -> str:
    """Begin a title in small letters, unless it begins with a name or abbreviation."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def _budget_card(fit: xr.DataTree) -> Card:
    """Say where the uncertainty of a history comes from."""
    budget = variance_budget(fit)
    sources = [str(source) for source in budget["source"].values]
    rows = []
    for name in budget.data_vars:
        meaning, unit = NAMES[str(name)]
        parts = budget[name].mean("position")
        deviations = [number(float(value) ** 0.5, 2) for value in parts.to_numpy()]
        rows.append([f"{meaning} ({unit})", *deviations, number(float(parts.sum()) ** 0.5, 2)])
    card = figure_card(
        "Variance budget",
        "variance-budget",
        plot_variance_budget(fit),
        "Bars: share of the variance of pressure, temperature, time and age by source.",
        "Mean over all positions. Analyses: counting and other errors of single analyses; "
        "calibration: what they share; table: the table's misfit; priors and smoothing: the rest.",
    )
    table = Table(
        ["standard deviation", *sources, "all"],
        rows,
        "Root of the mean variance that each source leaves by itself; squares add up. To first "
        "order about the posterior.",
        frozenset(range(1, len(sources) + 2)),
    )
    return replace(card, blocks=[*card.blocks, table])
