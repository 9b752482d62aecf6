"""The cards of a phase-map report: maps with their errors, spots, baselines, data."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from petro_models.phase_maps import plots, tables
from petro_models.phase_maps.baselines import Baseline, run_baselines
from petro_models.phase_maps.map_answers import labels_of
from petro_models.phase_maps.overview import overview, thinning
from petro_models.phase_maps.regions import phase_mask
from petro_models.report.cards import (
    Block,
    Card,
    Cell,
    Paragraph,
    Table,
    figure_card,
    number,
    picture,
)
from petro_models.report.chemistry import pretty

if TYPE_CHECKING:
    from petro_models.phase_maps.problem import PhaseMaps

FRACTIONS_SHOWN = 3
OXIDES_SHOWN = 3
ZONINGS_SHOWN = 2
FEWEST_ZONED_PIXELS = 200
REALLY_ZONED = 1.2
"""Spread of an oxide among a phase's pure pixels over their error, from which it is worth a map."""

CLASSICAL = (
    "Lanari, P., Vidal, O., De Andrade, V., Dubacq, B., Lewin, E., Grosch, E.G., Schwartz, S. "
    "(2014) XMapTools: A MATLAB-based program for electron microprobe X-ray image processing and "
    "geothermobarometry. Computers & Geosciences 62, 227-240.",
    "Yasumoto, A., Yoshida, K., Kuwatani, T., Nakamura, D., Svojtka, M., Hirajima, T. (2018) A "
    "rapid and precise quantitative electron probe chemical mapping technique and its application "
    "to an ultrahigh-pressure eclogite from the Moldanubian Zone of the Bohemian Massif (Nové "
    "Dvory, Czech Republic). American Mineralogist 103, 1690-1698.",
)


def cards(problem: "PhaseMaps", fit: xr.DataTree) -> list[Card]:
    """Make the cards that only phase maps have.

    Parameters
    ----------
    problem
        The problem that was fitted.
    fit
        Its fit.
    """
    shown = overview(fit)
    made = [
        phase_map_card(shown, thinning(fit["derived"].to_dataset())),
        fractions_card(shown),
        compositions_card(shown),
        residual_card(shown),
        phases_card(shown),
        *spot_cards(problem, shown),
        baselines_card(problem, fit),
        data_card(problem.data),
    ]
    return made


def phase_map_card(fit: xr.DataTree, step: int = 1) -> Card:
    """Show where the phases are and how much of each there is; `step` is that of an overview."""
    answers = fit["derived"].to_dataset()
    modes = ", ".join(
        f"{name} {100 * float(answers['mode'].sel(phase=name)):.1f} %"
        for name in labels_of(answers, "phase")
    )
    alt = f"Map of the most probable phase of every pixel. Modes: {modes}."
    caption = (
        "Most probable phase of every pixel; black: no phase explains the pixel. Legend: modes "
        "with 90 % equal-tailed intervals."
    )
    blocks: list[Block] = [
        picture(plots.plot_phase_map(fit), alt, caption),
        tables.mode_table(fit),
        tables.bulk_table(fit),
    ]
    if step > 1:
        text = f"Maps are drawn, and pure pixels described, from one pixel in {step} x {step}."
        blocks.append(Paragraph(text, "note"))
    return Card("Phase map and modes", "phase-map", "answer", blocks)


def fractions_card(fit: xr.DataTree) -> Card:
    """Show the fractions of those phases that share most pixels."""
    answers = fit["derived"].to_dataset()
    names = labels_of(answers, "phase")
    fraction = answers["phase_fraction"].to_numpy()
    shared = (fraction * (1 - fraction)).mean(axis=(1, 2))
    shown = sorted(np.argsort(-shared, kind="stable")[:FRACTIONS_SHOWN])
    blocks: list[Block] = []
    for k in shown:
        caption = (
            f"Fraction of {names[k]} in every pixel: posterior mean (left) and standard deviation "
            "(right)."
        )
        alt = f"Maps of the fraction of {names[k]} and of its standard deviation."
        blocks.append(picture(plots.plot_fraction(fit, names[k]), alt, caption))
    if len(shown) < len(names):
        text = (
            f"Shown are the {len(shown)} of {len(names)} phases that share most pixels with "
            'others; the maps of all stand in fit["derived"]["phase_fraction"].'
        )
        blocks.append(Paragraph(text, "note"))
    return Card("Fractions", "fractions", "figures", blocks)


def compositions_card(fit: xr.DataTree) -> Card:
    """Show the oxides and the zoned phases that tell most, and tabulate the rest."""
    answers = fit["derived"].to_dataset()
    blocks: list[Block] = []
    for oxide in telling_oxides(answers)[:OXIDES_SHOWN]:
        caption = (
            f"{pretty(oxide)} in wt%: posterior mean (left) and standard deviation (right), "
            "counting, fractions and calibration together. Grey: no phase explains the pixel."
        )
        alt = f"Maps of {oxide} in weight percent and of its standard deviation."
        blocks.append(picture(plots.plot_composition(fit, oxide), alt, caption))
    for phase, oxide, ratio in zonings(answers)[:ZONINGS_SHOWN]:
        caption = (
            f"{pretty(oxide)} in pure pixels of {phase} alone, where it varies {ratio:.1f} times "
            "as much as the error of a pixel."
        )
        alt = f"Maps of {oxide} within {phase} and of its standard deviation."
        blocks.append(picture(plots.plot_composition(fit, oxide, phase), alt, caption))
    blocks.append(tables.composition_table(fit))
    text = (
        "Maps are drawn of the oxides that vary most for their error; those of all stand in "
        'fit["derived"]["composition"].'
    )
    blocks.append(Paragraph(text, "note"))
    return Card("Compositions", "compositions", "figures", blocks)


def telling_oxides(answers: xr.Dataset) -> list[str]:
    """Sort oxides by their variation over the map for the error of a pixel."""
    known = answers["phase_map"].to_numpy() >= 0
    ratio = []
    for o in range(answers.sizes["oxide"]):
        values, errors = (
            answers[name][o].to_numpy()[known] for name in ("composition", "composition_sd")
        )
        ratio.append(values.std() / max(float(np.median(errors)), 1e-9))
    names = labels_of(answers, "oxide")
    return [names[o] for o in np.argsort(-np.array(ratio), kind="stable")]


def zonings(answers: xr.Dataset) -> list[tuple[str, str, float]]:
    """Give phases with real variation: phase, its most varied oxide, spread over error."""
    found = []
    for phase in labels_of(answers, "phase"):
        mask = phase_mask(answers, phase, 0.9)
        if mask.sum() < FEWEST_ZONED_PIXELS:
            continue
        ratios = {}
        for o, oxide in enumerate(labels_of(answers, "oxide")):
            values, errors = (
                answers[name][o].to_numpy()[mask] for name in ("composition", "composition_sd")
            )
            low, high = np.percentile(values, [16, 84])  # a few odd pixels are no zoning
            ratios[oxide] = float((high - low) / 2 / max(float(np.median(errors)), 1e-9))
        best = max(ratios, key=ratios.__getitem__)
        if ratios[best] >= REALLY_ZONED:
            found.append((phase, best, ratios[best]))
    return sorted(found, key=lambda one: -one[2])


def residual_card(fit: xr.DataTree) -> Card:
    """Show what no phase explains."""
    caption = (
        "Evidence (left): log density of a pixel's counts less what its class expects; dark pixels "
        "are explained badly, such as patches of a phase that was not named. P(unknown) (right): "
        "probability that no phase or mixture explains the pixel (cracks, edges, other phases)."
    )
    alt = "Maps of the evidence of every pixel and of the probability that it is unknown."
    return figure_card(
        "What is not explained", "unexplained", plots.plot_residual(fit), alt, caption
    )


def phases_card(fit: xr.DataTree) -> Card:
    """Tabulate the composition of every phase."""
    blocks = [tables.phase_composition_table(fit)]
    return Card("Compositions of the phases", "phases", "results", blocks)


def spot_cards(problem: "PhaseMaps", fit: xr.DataTree) -> list[Card]:
    """Show the map's prediction of every spot, and where the spots lie; none without spots."""
    if not problem.observations.has_spots:
        return []
    caption = (
        "Composition at the spots predicted from the map against the analysis (above), and their "
        "difference (below). Bars: 90 % intervals. Hollow: spots that lie on more than one phase. "
        "Above each panel: in how many spots the interval of the difference holds 0."
    )
    alt = "Predicted against measured composition of every spot, oxide by oxide."
    made = [
        Card(
            "Spots against the map",
            "spots",
            "predictive",
            [picture(plots.plot_calibration(fit), alt, caption), tables.spot_table(fit)],
        )
    ]
    registration = tables.registration_table(fit)
    if registration is not None:
        made.append(Card("Registration of the spots", "registration", "results", [registration]))
    return made


def baselines_card(problem: "PhaseMaps", fit: xr.DataTree) -> Card:
    """Put the methods in use beside this fit: modes, and differences from the spots."""
    answers = fit["derived"].to_dataset()
    if thinning(answers) > 1:
        text = (
            "The methods in use were not run beside this fit: they need a map of this size in "
            "memory, several times. Crop the map to compare them."
        )
        return Card("Methods in use beside this fit", "baselines", "baselines", [Paragraph(text)])
    names = labels_of(answers, "phase")
    spot = answers["spot_predicted"].to_numpy() if "spot_predicted" in answers else None
    own = Baseline("this fit", answers["mode"].to_numpy(), spot)
    found = [own, *run_baselines(problem.data)]
    rows: list[list[Cell | str]] = []
    for one in found:
        shares = [f"{100 * share:.2f}" if np.isfinite(share) else "–" for share in one.mode]
        if one is own:
            shares = [
                f"{text} ± {100 * float(sd):.2f}"
                for text, sd in zip(shares, answers["mode_sd"].to_numpy(), strict=True)
            ]
        mark = "strong" if one is own else "muted" if one.note.startswith("not run") else ""
        rows.append([Cell(one.name, mark), *shares, one.note])
    caption = (
        "Modes in area % by the methods in use, beside this fit (± one standard deviation). All "
        "start from the same rough counts of the phases. Methods that give one phase or a "
        "probability for each pixel count a mixed pixel wholly or by chance."
    )
    numeric = frozenset(range(1, len(names) + 1))
    blocks: list[Block] = [Table(["method", *names, "note"], rows, caption, numeric, wide=True)]
    if spot is not None:
        blocks.append(_difference_table(problem.data, found))
    return Card("Methods in use beside this fit", "baselines", "baselines", blocks, CLASSICAL)


def _difference_table(data: xr.Dataset, found: list[Baseline]) -> Table:
    measured = data["wt_percent"].transpose("spot", "oxide").to_numpy()
    rows: list[list[Cell | str]] = []
    for one in found:
        if one.spot is None:
            continue
        difference = np.abs(one.spot - measured)
        cells = []
        for column in difference.T:
            known = column[np.isfinite(column)]
            text = f"{number(float(np.median(known)), 2)} ({number(_rms(known), 2)})"
            cells.append(text if known.size else "–")
        rows.append([Cell(one.name, "strong" if one is found[0] else ""), *cells])
    oxides = [pretty(oxide) for oxide in labels_of(data, "oxide")]
    caption = (
        "Difference from the spots' analyses in wt%: median of the absolute, and in brackets the "
        "root mean square. Every method was calibrated on these same spots, so all of this is "
        "consistency, not prediction; the other methods take spots where the whole-pixel "
        "registration puts them, and the median analysis of each phase where they give fractions."
    )
    return Table(["method", *oxides], rows, caption, frozenset(range(1, len(oxides) + 1)))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean())) if values.size else float("nan")


def data_card(data: xr.Dataset) -> Card:
    """Tabulate the counts as they were read, what names the phases, and the reader's notes."""
    text = (
        f"Maps: {data.attrs.get('source', 'in memory')} ({data.attrs.get('format', '')}), "
        f"{data.sizes['x']} x {data.sizes['y']} pixels of {data.sizes['element']} elements."
    )
    blocks: list[Block] = [Paragraph(text)]
    if "spot_label" in data:
        where = data.attrs.get("spot_source") or "in memory"
        blocks.append(Paragraph(f"Spots: {where}, {data.sizes['spot']} analyses."))
    citation = str(data.attrs.get("citation", ""))
    if citation:
        blocks.append(Paragraph(f"Published in: {citation}."))
    blocks += [tables.counts_table(data), tables.phase_source_table(data)]
    notes = [line for line in str(data.attrs.get("notes", "")).splitlines() if line.strip()]
    if notes:
        blocks.append(Paragraph("Notes: " + "; ".join(notes) + ".", "note"))
    return Card("Data", "data", "data", blocks, [f"{citation}."] if citation else [])
