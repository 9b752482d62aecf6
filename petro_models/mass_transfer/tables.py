"""Tables of a mass-transfer report: frames, gains and losses, baselines, the data themselves."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from petro_models.mass_transfer import classical
from petro_models.mass_transfer import plot_data as data
from petro_models.mass_transfer.plot_data import Frame
from petro_models.report.cards import Cell, Table, number
from petro_models.report.ticks import percent

type Row = list[Cell | str]

FEW_SAMPLES = 12
"""Up to here every sample stands in the tables of gains; beyond, a summary over samples."""
COLUMNS_PER_TABLE = 6
BASELINE_SAMPLES = 3
MASS_UNITS = {"wt%": ("g", 1.0), "ppm": ("mg", 1e3), "ppb": ("µg", 1e6)}
"""Unit of mass in which an element's gain is written, and how many of it make a gram."""
GAIN = "median and 90 % interval (equal-tailed, given the frame); bold: the interval excludes 0"


def frame_table(fit: xr.DataTree) -> Table:
    """Tabulate every frame: elements, weight, M/M0 (and V/V0)."""
    derived = fit["derived"].to_dataset()
    with_volume = "volume_ratio" in derived
    one = derived.sizes["sample"] == 1
    elements = data.labels_of(fit, "element")
    what = "median (90 %)" if one else "range of medians over samples"
    columns = ["frame", "weight", f"M/M0, {what}"]
    columns += [f"V/V0, {what}"] if with_volume else []
    columns += ["immobile elements, P(immobile) given the frame"]
    rows = []
    for frame in data.frames_of(fit):
        answers = [data.quantiles(fit, "frame_mass_ratio", frame.index)]
        if with_volume:
            answers.append(data.volume_quantiles(fit, frame.index))
        row: Row = [Cell(frame.name, "strong", frame.colour), f"{frame.weight:.2f}"]
        row += [_ratio_text(values, one) for values in answers]
        order = [
            j
            for j in np.argsort(-frame.immobile, kind="stable")
            if frame.immobile[j] >= data.MEMBER
        ]
        members = ", ".join(f"{elements[j]} {frame.immobile[j]:.2f}" for j in order)
        rows.append([*row, members or frame.elements])
    caption = (
        "Frames: sets of elements that may be the immobile one, with their posterior probability "
        "(weight) and the mass change that follows. M/M0: mass of the altered rock per mass of "
        "protolith it came from"
        + ("; V/V0: the same for volume" if with_volume else "")
        + ". Intervals: 90 %, equal-tailed, given the frame."
    )
    numeric = frozenset(range(1, len(columns) - 1))
    return Table(columns, rows, caption, numeric, wide=True)


def _ratio_text(values: np.ndarray, one: bool) -> str:
    low, middle, high = values
    if one:
        return f"{middle[0]:.3f} ({low[0]:.3f} to {high[0]:.3f})"
    return f"{middle.min():.2f} to {middle.max():.2f}"


def mass_tables(fit: xr.DataTree) -> list[Table]:
    """Tabulate M/M0 (and V/V0) of every sample in every frame; none for a single sample."""
    samples = data.labels_of(fit, "sample")
    if len(samples) == 1:
        return []
    frames = data.frames_of(fit)
    columns = ["sample"]
    answers = []
    for frame in frames:
        columns.append(f"M/M0, {frame.name} ({frame.weight:.2f})")
        answers.append(data.quantiles(fit, "frame_mass_ratio", frame.index))
        if "volume_ratio" in fit["derived"]:
            columns.append(f"V/V0, {frame.name}")
            answers.append(data.volume_quantiles(fit, frame.index))
    rows: list[Row] = [
        [
            Cell(sample, "strong"),
            *(f"{v[1, i]:.3f} ({v[0, i]:.3f} to {v[2, i]:.3f})" for v in answers),
        ]
        for i, sample in enumerate(samples)
    ]
    caption = (
        "Mass change of every sample: median and 90 % interval (equal-tailed, given the frame)."
    )
    return [Table(columns, rows, caption, frozenset(range(1, len(columns))))]


def gain_tables(fit: xr.DataTree) -> list[Table]:
    """Tabulate gains and losses per frame, in percent and in g per 100 g of protolith."""
    count = fit["derived"].sizes["sample"]
    if count == 1:
        return _gains_of_one(fit)
    frames = data.frames_of(fit)
    if count > FEW_SAMPLES:
        return [_gain_summary(fit, frame) for frame in frames]
    tables: list[Table] = []
    for frame in frames:
        tables += _gains_by_sample(fit, frame, by_mass=False)
        tables += _gains_by_sample(fit, frame, by_mass=True)
    return tables


def _gains_of_one(fit: xr.DataTree) -> list[Table]:
    """Put all frames of one sample side by side, in the leading frame's order."""
    frames = data.frames_of(fit)
    table = fit["constant_data"].to_dataset()
    elements, units = data.labels_of(fit, "element"), table["unit"].values.tolist()
    ratios = [data.quantiles(fit, "frame_gain_loss", frame.index)[:, 0] for frame in frames]
    grams = [data.gains_by_mass(fit, frame.index)[0][:, 0] for frame in frames]
    reference = np.exp(data.logs_of(fit).reference)
    percent_rows: list[Row] = []
    mass_rows: list[Row] = []
    for j in np.argsort(-np.nan_to_num(ratios[0][1], nan=-np.inf), kind="stable"):
        unit, factor = MASS_UNITS[units[j]]
        name = Cell(elements[j], "strong")
        concentrations = [number(float(reference[j]), 4), _concentration(table, "", 0, int(j))]
        gains = [_gain_cell(100 * ratio[:, j], 0) for ratio in ratios]
        percent_rows.append([name, units[j], *concentrations, *gains])
        mass_rows.append([name, unit, *(_gain_cell(factor * gram[:, j], 2) for gram in grams)])
    heads = [f"{frame.name} ({frame.weight:.2f})" for frame in frames]
    return [
        Table(
            ["element", "unit", "C0", "C", *(f"{head}, %" for head in heads)],
            percent_rows,
            "Gains (+) and losses (−) in % of the element's mass in the protolith, frame by frame "
            f"(weight in brackets): {GAIN}. C0: geometric mean of the protolith's analyses.",
            frozenset(range(2, 4 + len(frames))),
        ),
        Table(
            ["element", "unit", *(f"{head}, per 100 g" for head in heads)],
            mass_rows,
            f"Gains (+) and losses (−) by mass, per 100 g of protolith: {GAIN}.",
            frozenset(range(2, 2 + len(frames))),
        ),
    ]


def _gains_by_sample(fit: xr.DataTree, frame: Frame, by_mass: bool) -> list[Table]:
    """Tabulate elements against samples, so many samples a table that a page holds them."""
    elements, samples = data.labels_of(fit, "element"), data.labels_of(fit, "sample")
    measured_in = fit["constant_data"].to_dataset()["unit"].values.tolist()
    if by_mass:
        units, factors = zip(*(MASS_UNITS[unit] for unit in measured_in), strict=True)
        values, what = data.gains_by_mass(fit, frame.index)[0], "mass per 100 g of protolith"
    else:
        units, factors = ("%",) * len(elements), (100.0,) * len(elements)
        values = data.quantiles(fit, "frame_gain_loss", frame.index)
        what = "% of the element's mass in the protolith"
    caption = f"F{frame.name[1:]} (weight {frame.weight:.2f}), {what}: {GAIN}."
    tables = []
    for start in range(0, len(samples), COLUMNS_PER_TABLE):
        own = range(start, min(start + COLUMNS_PER_TABLE, len(samples)))
        rows: list[Row] = []
        for j, name in enumerate(elements):
            cells = [_gain_cell(factors[j] * values[:, i, j], 2 if by_mass else 0) for i in own]
            rows.append([Cell(name, "strong"), units[j], *cells])
        columns = ["element", "unit", *(samples[i] for i in own)]
        numeric = frozenset(range(2, len(columns)))
        tables.append(Table(columns, rows, caption, numeric))
    return tables


def _gain_summary(fit: xr.DataTree, frame: Frame) -> Table:
    """Summarise gains over many samples, element by element."""
    low, middle, high = data.quantiles(fit, "frame_gain_loss", frame.index)
    grams, _ = data.gains_by_mass(fit, frame.index)
    units = fit["constant_data"].to_dataset()["unit"].values.tolist()
    rows: list[Row] = []
    for j, name in enumerate(data.labels_of(fit, "element")):
        known = np.isfinite(middle[:, j])
        if not known.any():
            continue
        medians = middle[known, j]
        unit, factor = MASS_UNITS[units[j]]
        grams_range = factor * grams[1][known, j]
        rows.append(
            [
                Cell(name, "strong"),
                f"{frame.immobile[j]:.2f}",
                percent(float(np.median(medians))),
                f"{percent(float(medians.min()))} to {percent(float(medians.max()))}",
                f"{_signed(grams_range.min(), 2)} to {_signed(grams_range.max(), 2)} {unit}",
                f"{int((low[known, j] > 0).sum())} / {int((high[known, j] < 0).sum())}",
                str(int(known.sum())),
            ]
        )
    columns = [
        "element",
        "P(immobile)",
        "typical gain or loss",
        "lowest to highest sample",
        "the same, per 100 g",
        "gained / lost in",
        "samples",
    ]
    caption = (
        f"F{frame.name[1:]} (weight {frame.weight:.2f}): sample medians of gain (+) and loss (−), "
        "% of the element's mass in the protolith. “Gained / lost in” counts the samples whose "
        "90 % interval (equal-tailed, given the frame) excludes 0. Every sample's numbers stand "
        'in fit["derived"]["frame_gain_loss"].'
    )
    return Table(columns, rows, caption, frozenset(range(1, len(columns))), wide=True)


def _gain_cell(values: np.ndarray, digits: int) -> Cell:
    low, middle, high = map(float, values)
    if not np.isfinite(middle):
        return Cell("–", "muted")
    if digits and 0 < abs(middle) < 0.095:
        digits = min(7, 1 - int(np.floor(np.log10(abs(middle)))))
    if not digits and abs(middle) > 98 and middle < 0:
        digits = 1
    text = f"{_signed(middle, digits)} ({_signed(low, digits)} to {_signed(high, digits)})"
    return Cell(text, "strong" if low > 0 or high < 0 else "")


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text[1:] if not text.strip("+−0.") else text


# -- baselines -----------------------------------------------------------------------------------


def baseline_samples(fit: xr.DataTree) -> list[int]:
    """Choose the samples whose mass changed least, middling and most in the leading frame."""
    median = data.quantiles(fit, "frame_mass_change", 0)[1]
    order = np.argsort(median, kind="stable")
    picked = order[np.linspace(0, len(order) - 1, min(BASELINE_SAMPLES, len(order))).astype(int)]
    return sorted({int(i) for i in picked})


def baseline_table(fit: xr.DataTree, relative_error: float) -> Table:
    """Run the classical methods on a few samples, and put this fit's frames beside them."""
    picked = baseline_samples(fit)
    table = fit["constant_data"].to_dataset().isel(sample=picked)
    frames = data.frames_of(fit)
    rows = _own_rows(fit, frames, picked)
    for frame in frames:
        rows += _classical_rows(fit, table, frame, relative_error)
    caption = (
        "M/M0 by the methods in use, beside this fit. Methods that need chosen elements were given "
        "those of our frames (P(immobile) from 0.5), so their agreement with us is no independent "
        "evidence; the others choose for themselves. Intervals: 90 %; of this fit equal-tailed and "
        "given the frame, of the others as the note says."
    )
    columns = ["method", "sample", "M/M0", "90 % interval", "immobile elements", "note"]
    return Table(columns, rows, caption, frozenset({2, 3}), wide=True)


def _own_rows(fit: xr.DataTree, frames: Sequence[Frame], picked: Sequence[int]) -> list[Row]:
    samples, rows = data.labels_of(fit, "sample"), []
    for frame in frames:
        low, middle, high = data.quantiles(fit, "frame_mass_ratio", frame.index)
        name = Cell(f"this fit, {frame.name} (weight {frame.weight:.2f})", "strong", frame.colour)
        for i in picked:
            row: Row = [
                name if i == picked[0] else "",
                samples[i],
                f"{middle[i]:.3f}",
                f"{low[i]:.3f} to {high[i]:.3f}",
                frame.elements,
                "posterior median",
            ]
            rows.append(row)
    return rows


def _classical_rows(
    fit: xr.DataTree, table: xr.Dataset, frame: Frame, relative_error: float
) -> list[Row]:
    """Run what needs chosen elements for each frame; what chooses itself only once."""
    elements = data.labels_of(fit, "element")
    members = [elements[j] for j in np.flatnonzero(frame.immobile >= data.MEMBER)]
    surest = elements[int(frame.immobile.argmax())]
    leading = frame.index == 0
    answers = classical.compare(
        table,
        immobile=members or None,
        reference=surest,
        relative_error=relative_error,
        q=(0.5, 1.0) if leading else (),
    )
    chooses = answers["method"].str.contains("consistent|sparse")
    if not leading:
        answers = answers[~chooses]
    rows: list[Row] = []
    for method, group in answers.groupby("method", sort=False):
        notes = group["note"].unique()
        if len(notes) == 1 and str(notes[0]).startswith("not run"):
            if leading:
                rows.append([Cell(str(method), "muted"), "", "–", "", "", str(notes[0])])
            continue
        label = _method_label(str(method), frame, surest)
        rows += [
            _classical_row("" if repeated else label, answer)
            for repeated, answer in enumerate(group.to_dict("records"))
        ]
    return rows


def _method_label(method: str, frame: Frame, surest: str) -> str:
    if "consistent" in method or method.startswith("sparse"):
        return method
    if method == "Ague bootstrap":
        return f"Ague bootstrap with {surest}, the surest element of our {frame.name}"
    return f"{method.removesuffix(', chosen set')} with the elements of our {frame.name}"


def _classical_row(label: str, answer: dict[object, object]) -> Row:
    ratio, low, high = (float(str(answer[name])) for name in ("mass_ratio", "lower", "upper"))
    return [
        label,
        str(answer["sample"]),
        "–" if np.isnan(ratio) else f"{ratio:.3f}",
        "–" if np.isnan(low) else f"{low:.3f} to {high:.3f}",
        str(answer["immobile"]),
        str(answer["note"]),
    ]


# -- data ----------------------------------------------------------------------------------------


def data_tables(table: xr.Dataset) -> list[Table]:
    """Tabulate all concentrations with units, errors, limits and gaps, as the model read them."""
    columns = [("protolith_", "protolith", i) for i in range(table.sizes["protolith"])]
    columns += [("", "sample", i) for i in range(table.sizes["sample"])]
    error = common_error(table)
    caption = "Concentrations. “< x”: below the detection limit x; a dash: not measured. " + (
        "± is one standard deviation of analysis."
        if error is None
        else "No errors are stated."
        if np.isnan(error)
        else f"Stated error of analysis: {100 * error:.3g} % (1 sd) throughout."
    )
    with_error = error is None
    tables = []
    width = COLUMNS_PER_TABLE if with_error else COLUMNS_PER_TABLE + 2
    for start in range(0, len(columns), width):
        own = columns[start : start + width]
        heads = [
            f"{table[dim].values[i]}{' (protolith)' if dim == 'protolith' else ''}"
            for _, dim, i in own
        ]
        rows: list[Row] = [
            [
                Cell(str(name), "strong"),
                str(table["unit"].values[j]),
                *(_concentration(table, prefix, i, j, with_error) for prefix, _, i in own),
            ]
            for j, name in enumerate(table["element"].values)
        ]
        rows += _extra_rows(table, own)
        numeric = frozenset(range(2, 2 + len(own)))
        text = caption if start == 0 else "Concentrations, continued."
        tables.append(Table(["element", "unit", *heads], rows, text, numeric))
    return tables


def common_error(table: xr.Dataset) -> float | None:
    """Give the error that all measured cells share; NaN if none is stated, None if they differ."""
    errors = [
        table[f"{prefix}relative_error"].to_numpy()[np.isfinite(table[f"{prefix}concentration"])]
        for prefix in ("", "protolith_")
    ]
    known = np.concatenate(errors)
    if np.isnan(known).all():
        return float("nan")
    if np.isnan(known).any() or np.ptp(known) > 1e-12:
        return None
    return float(known[0])


def _concentration(
    table: xr.Dataset, prefix: str, row: int, column: int, with_error: bool = False
) -> str:
    value = float(table[f"{prefix}concentration"].values[row, column])
    limit = float(table[f"{prefix}detection_limit"].values[row, column])
    error = float(table[f"{prefix}relative_error"].values[row, column])
    if np.isfinite(limit):
        return f"< {number(limit, 4)}"
    if not np.isfinite(value):
        return "–"
    text = number(value, 4)
    return f"{text} ± {number(value * error, 2)}" if with_error and np.isfinite(error) else text


def _extra_rows(table: xr.Dataset, own: Sequence[tuple[str, str, int]]) -> list[Row]:
    """Give densities and distances of the analyses in one table of concentrations."""
    rows: list[Row] = []
    for name, unit in (("density", "g/cm3"), ("distance", "")):
        if name not in table:
            continue
        row: Row = [Cell(name, "muted"), str(table[name].attrs.get("units", unit))]
        for prefix, _, i in own:
            known = f"{prefix}{name}" in table
            row.append(number(float(table[f"{prefix}{name}"].values[i]), 4) if known else "–")
        rows.append(row)
    return rows
