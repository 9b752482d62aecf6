"""Tables of a phase-map report: modes, fractions, compositions, registration, the data."""

import numpy as np
import xarray as xr

from petro_models.phase_maps.map_answers import NORMAL_95, labels_of
from petro_models.phase_maps.overview import thinning
from petro_models.phase_maps.plot_parts import phase_colours
from petro_models.phase_maps.regions import phase_mask
from petro_models.report.cards import Cell, Table, interval, number
from petro_models.report.chemistry import pretty

type Row = list[Cell | str]

SURE = 0.5
"""P(pure) from which a pixel counts as pure in the tables."""
MIXED = (0.05, 0.95)
"""Fractions between which a pixel counts as shared by the phase."""
SPOT_QUANTITIES = {
    "registration_shift": ("shift of the spots", "pixel"),
    "registration_jitter": ("scatter of single spots about it", "pixel"),
    "registration_drift": ("scatter of what neighbours in the list are displaced by", "pixel"),
    "registration_memory": ("spots after which that is forgotten", "1"),
    "spot_outlier": ("share of spots that agree with nothing near them", "1"),
}


def phase_cell(answers: xr.Dataset, index: int) -> Cell:
    """Name a phase with the colour that it has on the maps."""
    names = labels_of(answers, "phase")
    return Cell(names[index], "strong", phase_colours(len(names))[index])


def mode_table(fit: xr.DataTree) -> Table:
    """Tabulate the modes, and how the pixels of every phase are known."""
    answers = fit["derived"].to_dataset()
    rows: list[Row] = []
    for k in np.argsort(-answers["mode"].to_numpy(), kind="stable"):
        mode, low, high = (
            100 * float(answers[name][k]) for name in ("mode", "mode_low", "mode_high")
        )
        fraction = answers["phase_fraction"][k].to_numpy()
        shared = (fraction > MIXED[0]) & (fraction < MIXED[1])
        pure = answers["pure_probability"][k].to_numpy() >= SURE
        errors = answers["phase_fraction_sd"][k].to_numpy()
        rows.append(
            [
                phase_cell(answers, int(k)),
                f"{mode:.2f}",
                f"{low:.2f} to {high:.2f}",
                _percent(pure.mean()),
                _percent(shared.mean()),
                number(float(np.median(errors[pure])), 2) if pure.any() else "–",
                number(float(np.median(errors[shared])), 2) if shared.any() else "–",
            ]
        )
    unknown = (answers["phase_map"].to_numpy() < 0).mean()
    rows.append([Cell("unknown", "muted"), "", "", _percent(unknown), "", "", ""])
    columns = [
        "phase",
        "mode, area %",
        "90 %",
        "pure pixels, %",
        "shared pixels, %",
        "sd, pure",
        "sd, shared",
    ]
    caption = (
        "Modes as area fractions of what is explained, with 90 % equal-tailed intervals; the "
        "model's structure is taken for granted. Pure: P(pure) of 0.5 or more. Shared: the phase "
        "holds 5 to 95 % of the pixel. sd: median standard deviation of the fraction in such "
        "pixels."
    )
    return Table(columns, rows, caption, frozenset(range(1, 7)))


def bulk_table(fit: xr.DataTree) -> Table:
    """Tabulate the composition of the whole map."""
    answers = fit["derived"].to_dataset()
    rows: list[Row] = [
        [
            Cell(pretty(oxide), "strong"),
            _to_error(float(answers["bulk"][o]), float(answers["bulk_sd"][o])),
            number(float(answers["bulk_sd"][o]), 2),
            interval(float(answers["bulk_low"][o]), float(answers["bulk_high"][o])),
        ]
        for o, oxide in enumerate(labels_of(answers, "oxide"))
    ]
    weighting = str(answers["bulk"].attrs["long_name"]).partition(", ")[2]
    caption = f"Composition of the whole map in wt%, {weighting}; mapped oxides only."
    return Table(["oxide", "bulk", "sd", "90 %"], rows, caption, frozenset({1, 2, 3}))


def composition_table(fit: xr.DataTree) -> Table:
    """Tabulate the range of every oxide over the map, and how well a pixel tells it."""
    answers = fit["derived"].to_dataset()
    known = answers["phase_map"].to_numpy() >= 0
    rows: list[Row] = []
    for o, oxide in enumerate(labels_of(answers, "oxide")):
        values = answers["composition"][o].to_numpy()[known]
        errors = answers["composition_sd"][o].to_numpy()[known]
        ends = np.percentile(values, [1, 50, 99])
        rows.append(
            [
                Cell(pretty(oxide), "strong"),
                *(_to_error(max(float(value), 0.0), float(np.median(errors))) for value in ends),
                number(float(np.median(errors)), 2),
                number(float(np.percentile(errors, 95)), 2),
            ]
        )
    total = answers["total"].to_numpy()[known], answers["total_sd"].to_numpy()[known]
    rows.append(
        [
            Cell("total", "muted"),
            *(f"{value:.1f}" for value in np.percentile(total[0], [1, 50, 99])),
            number(float(np.median(total[1])), 2),
            number(float(np.percentile(total[1], 95)), 2),
        ]
    )
    caption = (
        "Explained pixels: 1st, 50th and 99th percentile of the mean composition, and the median "
        "and 95th percentile of its standard deviation (counting, fractions and calibration), wt%. "
        "The total is of the mapped oxides."
    )
    columns = ["oxide", "lowest", "median", "highest", "sd, median", "sd, 95 %"]
    return Table(columns, rows, caption, frozenset(range(1, 6)))


def phase_composition_table(fit: xr.DataTree) -> Table:
    """Tabulate the mean composition of every phase, and its spread over pure pixels."""
    answers = fit["derived"].to_dataset()
    names = labels_of(answers, "phase")
    masks = [phase_mask(answers, name, SURE) for name in names]
    rows: list[Row] = []
    for o, oxide in enumerate(labels_of(answers, "oxide")):
        mean = answers["phase_composition"].sel(oxide=oxide).to_numpy()
        sd = answers["phase_composition_sd"].sel(oxide=oxide).to_numpy()
        maps = answers["composition"][o].to_numpy()
        cells = [
            _composition_cell(float(mean[k]), float(sd[k]), maps[mask])
            for k, mask in enumerate(masks)
        ]
        rows.append([Cell(pretty(oxide), "strong"), *cells])
    total = answers["phase_composition"].sum("oxide").to_numpy()
    rows.append([Cell("total", "muted"), *(f"{value:.1f}" for value in total)])
    caption = (
        "Mean composition of every phase in wt% ± one standard deviation of the calibration; in "
        "brackets the standard deviation among its pure pixels, counting noise included. Mapped "
        "oxides only: water and what was not mapped are missing from the totals."
    )
    return Table(["oxide", *names], rows, caption, frozenset(range(1, len(names) + 1)))


def registration_table(fit: xr.DataTree) -> Table | None:
    """Tabulate where the spots lie; None without spots or where all of it is held known."""
    rows: list[Row] = []
    for name, (meaning, unit) in SPOT_QUANTITIES.items():
        if name not in fit["posterior"]:
            continue
        draws = fit["posterior"][name].stack(draws=("chain", "draw"))
        parts = {meaning: draws}
        if "direction" in draws.dims:
            labels = [str(label) for label in draws["direction"].to_numpy()]
            parts = {f"{meaning}, {label}s": draws.sel(direction=label) for label in labels}
        for text, values in parts.items():
            low, high = np.quantile(values.to_numpy(), [0.05, 0.95])
            mean, sd = float(values.mean()), float(values.std())
            shown = interval(float(low), float(high))
            rows.append([Cell(text, "strong"), unit, number(mean, 3), number(sd, 2), shown])
    if not rows:
        return None
    caption = (
        "What to add to the nominal positions of the spots, and how far single spots scatter about "
        "that: posterior mean, standard deviation and 90 % equal-tailed interval."
    )
    return Table(["quantity", "unit", "mean", "sd", "90 %"], rows, caption, frozenset({2, 3, 4}))


def spot_table(fit: xr.DataTree) -> Table:
    """Tabulate, oxide by oxide, how the map predicts the spots."""
    answers, data = fit["derived"].to_dataset(), fit["constant_data"].to_dataset()
    rows: list[Row] = []
    for oxide in labels_of(answers, "oxide"):
        measured = data["wt_percent"].sel(oxide=oxide).to_numpy()
        stated = np.nan_to_num(data["wt_percent_sd"].sel(oxide=oxide).to_numpy())
        mean = answers["spot_predicted"].sel(oxide=oxide).to_numpy()
        sd = answers["spot_predicted_sd"].sel(oxide=oxide).to_numpy()
        both = np.isfinite(measured) & np.isfinite(mean)
        if not both.any():
            continue
        difference = (mean - measured)[both]
        reach = NORMAL_95 * np.hypot(sd, stated)[both]
        held = int((np.abs(difference) <= reach).sum())
        rows.append(
            [
                Cell(pretty(oxide), "strong"),
                str(int(both.sum())),
                number(float(np.median(difference)), 2),
                number(float(np.median(np.abs(difference))), 2),
                number(float(np.sqrt((difference**2).mean())), 2),
                number(float(np.median(sd[both])), 2),
                f"{100 * held / both.sum():.0f}",
            ]
        )
    columns = [
        "oxide",
        "spots",
        "median difference",
        "median |difference|",
        "RMS",
        "stated sd, median",
        "90 % intervals that hold, %",
    ]
    caption = (
        "Predicted from the map less measured, wt%. The prediction does not see the spot's own "
        "label, but the spots did calibrate the map: this is a check of consistency, not of "
        "prediction of new spots."
    )
    return Table(columns, rows, caption, frozenset(range(1, 7)))


def counts_table(data: xr.Dataset) -> Table:
    """Tabulate counts and conditions of every element."""
    rows: list[Row] = []
    step = thinning(data)
    for e, element in enumerate(labels_of(data, "element")):
        counts = data["counts"][e].to_numpy()
        ends = np.percentile(counts[::step, ::step], [1, 50, 99])
        conditions = [float(data[name][e]) for name in ("dwell_s", "dead_time_ns")]
        rows.append(
            [
                Cell(element, "strong"),
                *(f"{value:,.0f}" for value in (*ends, counts.max())),
                *(number(value) for value in conditions),
            ]
        )
    columns = ["element", "counts, 1 %", "median", "99 %", "largest", "dwell, s", "dead time, ns"]
    known = {"probe current": ("probe_current_nA", "nA"), "step": ("step_um", "µm")}
    text = ", ".join(
        f"{what} {number(float(data[name]))} {unit}"
        if np.isfinite(float(data[name]))
        else f"{what} not known"
        for what, (name, unit) in known.items()
    )
    caption = f"Counts per pixel and conditions, a dash where not known; {text}."
    return Table(columns, rows, caption, frozenset(range(1, 7)))


def phase_source_table(data: xr.Dataset) -> Table:
    """Tabulate what told the phases: labelled spots, seeds, formulae, densities."""
    rows: list[Row] = []
    for k, name in enumerate(labels_of(data, "phase")):
        labelled = int((data["spot_label"] == name).sum()) if "spot_label" in data else 0
        seed = "–"
        if "seed_column" in data and np.isfinite(float(data["seed_column"][k])):
            seed = f"{float(data['seed_column'][k]):.0f}, {float(data['seed_row'][k]):.0f}"
        formula = bool(np.isfinite(data["formula_wt_percent"][k]).any())
        density = number(float(data["density_kg_m3"][k]), 4)
        axes = str(
            sum(str(axis).rpartition(" ")[0] == name for axis in data["axis_name"].to_numpy())
        )
        if "anchor_heavy_tailed" in data and data["anchor_heavy_tailed"][k]:
            axes += ", heavy tails"
        rows.append(
            [
                Cell(name, "strong"),
                str(labelled),
                seed,
                "given" if formula else "–",
                density,
                axes,
            ]
        )
    columns = [
        "phase",
        "labelled spots",
        "seed: column, row",
        "composition",
        "density, kg/m3",
        "axes of solid solution",
    ]
    unlabelled = int((data["spot_label"] == "").sum()) if "spot_label" in data else 0
    caption = "What says which phases there are."
    if unlabelled:
        caption += f" {unlabelled} spots carry no label; the map finds their phases."
    return Table(columns, rows, caption, frozenset({1, 2, 4, 5}))


def _composition_cell(mean: float, sd: float, pure: np.ndarray) -> str:
    text = f"{_to_error(mean, sd)} ± {number(sd, 2)}"
    return f"{text} ({number(float(pure.std()), 2)})" if pure.size > 1 else text


def _to_error(value: float, error: float) -> str:
    """Write a number to the second digit of its error."""
    if not 0 < error < np.inf:
        return number(value)
    return f"{value:.{int(np.clip(1 - np.floor(np.log10(error)), 0, 5))}f}".replace("-", "−")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
