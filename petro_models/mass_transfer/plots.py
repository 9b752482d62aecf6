"""Figures of a mass-transfer fit: each takes the fit and returns a Figure, unknown to pyplot."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from petro_models.mass_transfer import plot_data as data
from petro_models.mass_transfer.plot_data import NORMAL_95, Frame
from petro_models.report import style, ticks
from petro_models.report.labels import label_points

MANY_ELEMENTS = 26


@style.styled
def plot_isocon(fit: xr.DataTree, sample: str | None = None) -> Figure:
    """Draw the isocon diagram of one sample, with the isocon of every frame and its uncertainty.

    Each element is multiplied by the factor in its label, the same for both rocks, so that the
    elements spread over the diagram (Grant 1986). The line of a frame has the slope M0/M.

    Parameters
    ----------
    fit
        A fit of `MassTransfer`.
    sample
        Which altered rock; by default the one whose mass changed most.

    Returns
    -------
    Figure
        Bands: 90 %, equal-tailed, given the frame.

    References
    ----------
    Grant, J. A. (1986). The isocon diagram. Economic Geology 81, 1976-1982.
    """
    logs, index, frames = data.logs_of(fit), data.chosen_sample(fit, sample), data.frames_of(fit)
    ratios = data.ratios_of(logs, index)
    shown = np.flatnonzero(ratios.known)
    factor, x = _places(logs.reference[shown], ratios.log_ratio[shown])
    y = x * np.exp(ratios.log_ratio[shown])
    figure = style.new_figure(8.2, 7.4)
    axes = figure.subplots()
    width = 1.12 * float(x.max())
    steepest = max(
        float(np.exp(-data.quantiles(fit, "frame_mass_change", frame.index)[1, index]))
        for frame in frames
    )
    axes.set(xlim=(0, width), ylim=(0, 1.04 * max(1.08 * float(y.max()), steepest * width)))
    avoid = _draw_isocons(axes, fit, frames, index, width)
    _draw_errors(axes, x, y, ratios.error[shown])
    probability = fit["derived"]["immobile_probability"].to_numpy()[shown]
    members = [data.membership(frames, j) for j in shown]
    _draw_elements(axes, x, y, probability, members, ratios.below[shown])
    names = [logs.coords["element"][j] for j in shown]
    below = ratios.below[shown]
    texts = [
        f"{number:.3g} {data.pretty(name)}{' (below detection)' if limit else ''}"
        for number, name, limit in zip(factor, names, below, strict=True)
    ]
    axes.set_xlabel("protolith, scaled concentration (number beside element × wt%, ppm or ppb)")
    axes.set_ylabel("altered rock, scaled concentration (same numbers × same units)")
    axes.set_title(f"Isocon diagram of sample {logs.coords['sample'][index]}")
    figure.colorbar(
        ScalarMappable(Normalize(0, 1), style.SEQUENTIAL),
        ax=axes,
        label="P(immobile), over all frames",
        shrink=0.6,
        pad=0.02,
    )
    figure.legend(loc="outside lower center", ncols=1, handles=_isocon_legend(axes, members))
    colours = [member.colour if member else style.INK for member in members]
    size = 9 if len(shown) <= MANY_ELEMENTS else 8
    label_points(axes, x, y, texts, avoid=avoid, size=size, colours=colours)
    return figure


@style.styled
def plot_concentration_ratio(fit: xr.DataTree, sample: str | None = None) -> Figure:
    """Draw C/C0 of every element of one sample, sorted, with the level of each frame.

    Elements on the level exp(-m) of a frame did not move if that frame is the immobile one; those
    to its right were gained, to its left lost.

    Parameters
    ----------
    fit, sample
        As in `plot_isocon`.

    Returns
    -------
    Figure
        Error bars: 90 % from the stated errors and the protolith's scatter; bands: 90 %,
        equal-tailed, given the frame.
    """
    logs, index, frames = data.logs_of(fit), data.chosen_sample(fit, sample), data.frames_of(fit)
    ratios = data.ratios_of(logs, index)
    shown = np.flatnonzero(ratios.known)
    order = shown[np.argsort(ratios.log_ratio[shown], kind="stable")]
    figure, axes = _forest(len(order), legend_lines=len(frames) + 1)
    for frame in frames:
        low, middle, high = np.exp(-data.quantiles(fit, "frame_mass_change", frame.index)[:, index])
        axes.axvspan(min(low, high), max(low, high), color=frame.colour, alpha=0.18, lw=0)
        label = f"{frame.name} (weight {frame.weight:.2f}): M₀/M = {middle:.2f}"
        axes.axvline(middle, color=frame.colour, label=label)
    axes.axvline(1.0, color=style.MUTED, lw=1, ls=(0, (4, 3)), label="constant mass")
    rows = np.arange(len(order))
    for row, j in zip(rows, order, strict=True):
        member = data.membership(frames, j)
        colour = member.colour if member else style.MUTED
        centre, half = ratios.log_ratio[j], NORMAL_95 * ratios.error[j]
        if half > 0:
            axes.plot(np.exp([centre - half, centre + half]), [row, row], color=colour, lw=1.4)
        marker = "<" if ratios.below[j] else "o"
        axes.plot(np.exp(centre), row, marker, color=colour, ms=5.5, mec="white", mew=0.6)
    _name_rows(axes, [logs.coords["element"][j] for j in order])
    axes.set_xscale("log")
    ticks.plain_log_ticks(axes.xaxis, axes.get_xlim())
    axes.set_xlabel("C/C₀, altered rock / protolith (ratio, log scale)")
    axes.set_title(f"Concentration ratios of sample {logs.coords['sample'][index]}")
    figure.legend(loc="outside lower left")
    return figure


@style.styled
def plot_gain_loss(fit: xr.DataTree, sample: str | None = None, by_mass: bool = False) -> Figure:
    """Draw gain or loss of every element of one sample, one row per element, frames side by side.

    Parameters
    ----------
    fit, sample
        As in `plot_isocon`.
    by_mass
        False: change of the element's own mass in percent, on an axis where doubling and halving
        are equally far from no change. True: g per 100 g of protolith, symmetric log scale.

    Returns
    -------
    Figure
        Points: medians; bars: 90 %, equal-tailed, given the frame.
    """
    frames, index = data.frames_of(fit), data.chosen_sample(fit, sample)
    names = data.labels_of(fit, "element")
    values = [
        data.gains_by_mass(fit, frame.index)[0][:, index]
        if by_mass
        else np.log1p(data.quantiles(fit, "frame_gain_loss", frame.index)[:, index])
        for frame in frames
    ]
    known = np.flatnonzero(np.isfinite(values[0][1]))
    order = known[np.argsort(values[0][1, known], kind="stable")]
    figure, axes = _forest(len(order), legend_lines=len(frames), frames=len(frames))
    axes.axvline(0.0, color=style.MUTED, lw=1)
    spread = 0.0 if len(frames) == 1 else 0.5
    for frame, (low, middle, high) in zip(frames, values, strict=True):
        shift = spread * (0.5 - frame.index / max(len(frames) - 1, 1))
        rows = np.arange(len(order)) + shift
        axes.hlines(rows, low[order], high[order], color=frame.colour, lw=1.6)
        member = frame.immobile[order] >= data.MEMBER
        label = frame.caption
        axes.plot(middle[order], rows, "o", color=frame.colour, ms=5, mec="white", mew=0.6)
        axes.plot(middle[order][member], rows[member], "o", mfc="white", mec=frame.colour, ms=5)
        axes.plot([], [], "o-", color=frame.colour, ms=5, label=label)
    _name_rows(axes, [names[j] for j in order])
    sample_name = data.labels_of(fit, "sample")[index]
    if by_mass:
        ticks.symmetric_scale(axes, np.concatenate([value[1, order] for value in values]))
        axes.set_xlabel("gain or loss (g per 100 g of protolith, symmetric log scale)")
    else:
        ticks.percent_ticks(axes.xaxis, axes.get_xlim())
        axes.set_xlabel("gain or loss of the element (% of its mass in the protolith, log ratio)")
    axes.set_title(f"Gains and losses of sample {sample_name}")
    figure.legend(loc="outside lower left")
    return figure


@style.styled
def plot_gain_loss_map(fit: xr.DataTree) -> Figure:
    """Draw median gains and losses of all elements in all samples as a map, one for each frame.

    A dot marks cells whose 90 % interval (equal-tailed, given the frame) holds no change; a blank
    cell was not measured.
    """
    derived = fit["derived"].to_dataset()
    frames = data.frames_of(fit)
    elements = [data.pretty(name) for name in derived["element"].values]
    samples = [str(name) for name in derived["sample"].values]
    height = 1.4 + len(frames) * (0.7 + max(1.6, 0.2 * len(elements)))
    figure = style.new_figure(min(10.0, max(6.0, 2.6 + 0.3 * len(samples))), height)
    panels = figure.subplots(len(frames), 1, sharex=True, squeeze=False)[:, 0]
    largest = np.log(4)
    for axes, frame in zip(panels, frames, strict=True):
        low, middle, high = np.log1p(data.quantiles(fit, "frame_gain_loss", frame.index))
        image = axes.imshow(
            middle.T,
            cmap=style.DIVERGING,
            norm=TwoSlopeNorm(0.0, -largest, largest),
            aspect="auto",
            interpolation="nearest",
        )
        unsure = np.argwhere((low < 0) & (high > 0))
        axes.plot(unsure[:, 0], unsure[:, 1], ".", color=style.INK, ms=2.2)
        axes.set_yticks(np.arange(len(elements)), elements)
        axes.set_title(f"{frame.name} (weight {frame.weight:.2f})")
        axes.set_ylabel("element")
        axes.spines[:].set_visible(False)
    ticks.name_along(panels[-1], samples, "sample")
    bar = figure.colorbar(image, ax=panels, extend="both", shrink=0.8, pad=0.015)
    ticks.percent_ticks(bar.ax.yaxis, (-largest, largest))
    bar.set_label("median gain or loss\n(% of its mass in the protolith)")
    return figure


@style.styled
def plot_frames(fit: xr.DataTree) -> Figure:
    """Draw which elements are immobile in which frame: P(immobile), weight and M/M0.

    M/M0 of one sample is the median with its 90 % interval (equal-tailed, given the frame); of
    several samples, the lowest and highest median.
    """
    frames = data.frames_of(fit)
    names = data.labels_of(fit, "element")
    probability = np.array([frame.immobile for frame in frames])
    owner = probability.argmax(axis=0)
    order = np.lexsort((-probability.max(axis=0), owner))
    figure = style.new_figure(9.6, 1.6 + 0.55 * len(frames))
    axes = figure.subplots()
    image = axes.imshow(probability[:, order], cmap=style.SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    if len(names) <= 22:
        for row, column in np.ndindex(probability.shape):
            value = probability[row, order[column]]
            colour = "white" if value > 0.55 else style.INK
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, size=9)
    labels = [
        f"{frame.name}, weight {frame.weight:.2f}\n{mass_text(fit, frame)}" for frame in frames
    ]
    axes.set_yticks(np.arange(len(frames)), labels)
    for tick, frame in zip(axes.get_yticklabels(), frames, strict=True):
        tick.set_color(frame.colour)
    axes.set_xticks(
        np.arange(len(names)), [data.pretty(names[j]) for j in order], rotation=60, ha="right",
        rotation_mode="anchor",
    )  # fmt: skip
    axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(frames) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("element")
    figure.colorbar(image, ax=axes, label="P(immobile),\ngiven the frame", pad=0.015, aspect=8)
    return figure


@style.styled
def plot_mass_change(fit: xr.DataTree) -> Figure:
    """Draw M/M0 of every sample, and V/V0 beside it where densities are known.

    One sample: the density of each frame, scaled by its weight. Several: medians and 90 % intervals
    (equal-tailed, given the frame) along the table's distance, one column of panels per profile, or
    by sample.
    """
    if fit["derived"].sizes["sample"] == 1:
        return _mass_change_of_one(fit)
    table = fit["constant_data"].to_dataset()
    frames = data.frames_of(fit)
    answers = _answers(fit)
    samples = [str(name) for name in table["sample"].values]
    count = len(samples)
    along = "distance" in table
    profiles = _profiles(table) if along else {"": np.arange(count)}
    width = 8.2 if len(profiles) == 1 else min(10.0, 4.6 * len(profiles))
    figure = style.new_figure(width, 1.1 + 2.7 * len(answers) + 0.25 * len(frames))
    panels = figure.subplots(len(answers), len(profiles), squeeze=False, sharey="row")
    for row, (label, values) in enumerate(answers.items()):
        for column, (profile, own) in enumerate(profiles.items()):
            axes = panels[row, column]
            axes.axhline(1.0, color=style.MUTED, lw=1, ls=(0, (4, 3)))
            for frame in frames:
                place = table["distance"].to_numpy()[own] if along else np.arange(count)
                _draw_series(axes, place, values(frame.index)[:, own], frame, along, len(frames))
            axes.set_yscale("log")
            axes.grid(axis="y")
            if column == 0:
                axes.set_ylabel(f"{label} (ratio, log scale)")
            if row == 0 and profile:
                axes.set_title(profile)
            if row == len(answers) - 1:
                if along:
                    axes.set_xlabel(data.distance_label(table))
                else:
                    ticks.name_along(axes, samples, "sample")
            else:
                axes.tick_params(labelbottom=False)
        ticks.plain_log_ticks(panels[row, 0].yaxis, panels[row, 0].get_ylim())
    figure.legend(loc="outside lower left", handles=_frame_handles(frames))
    return figure


@style.styled
def plot_predictive(fit: xr.DataTree, sample: str | None = None) -> Figure:
    """Draw observed log ratios of one sample against what the fitted model would produce.

    Bars: 90 %, equal-tailed, of replicated analyses, over all frames. Where there are several
    samples, the numbers on the right count those whose value lies inside its own interval.
    """
    logs, index = data.logs_of(fit), data.chosen_sample(fit, sample)
    replicated = fit["posterior_predictive"]["altered_log_concentration"]
    copies = replicated.transpose("chain", "draw", "element", "sample").to_numpy()
    copies = copies.reshape(-1, *copies.shape[2:]) - logs.reference[:, None]
    low, middle, high = np.quantile(copies, [0.05, 0.5, 0.95], axis=0)
    observed = logs.log_ratio
    inside = (observed >= low) & (observed <= high)
    known = np.flatnonzero(np.isfinite(observed[:, index]))
    order = known[np.argsort(observed[known, index], kind="stable")]
    figure, axes = _forest(len(order), legend_lines=1)
    rows = np.arange(len(order))
    axes.hlines(rows, low[order, index], high[order, index], color=style.FAINT, lw=7)
    axes.plot(middle[order, index], rows, "|", color=style.MUTED, ms=8)
    colours = [style.INK if inside[j, index] else style.CATEGORIES[1] for j in order]
    axes.scatter(
        observed[order, index], rows, c=colours, s=26, zorder=4, edgecolors="white", lw=0.6
    )
    if logs.n_samples > 1:
        for row, j in zip(rows, order, strict=True):
            text = f"{inside[j].sum()} of {np.isfinite(observed[j]).sum()}"
            axes.annotate(
                text, (1.01, row), xycoords=("axes fraction", "data"), va="center", size=9,
                color=style.MUTED, annotation_clip=False,
            )  # fmt: skip
    _name_rows(axes, [logs.coords["element"][j] for j in order])
    axes.set_xlabel("ln(C/C₀), log ratio of altered rock to protolith")
    axes.set_title(f"Observed and replicated, sample {logs.coords['sample'][index]}")
    handles = [
        Line2D([], [], marker="o", ls="", color=style.INK, ms=5, label="observed"),
        Line2D(
            [], [], marker="o", ls="", color=style.CATEGORIES[1], ms=5, label="observed, outside"
        ),
        Line2D([], [], color=style.FAINT, lw=7, label="replicated, 90 %"),
    ]
    figure.legend(loc="outside lower left", handles=handles, ncols=3)
    return figure


# -- parts of figures --------------------------------------------------------------------------


def _places(reference: np.ndarray, log_ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose every element's factor and place on the protolith's axis.

    Elements stand in steps along the axis, strongly enriched ones near the origin, so that the
    diagram stays about square.
    """
    count = len(reference)
    steps = np.arange(1, count + 1) * 100.0 / count
    order = np.argsort(-log_ratio, kind="stable")
    target = np.empty(count)
    target[order] = steps
    factor = data.nice_factor(target / np.exp(reference))
    return factor, factor * np.exp(reference)


def _draw_isocons(
    axes: Axes, fit: xr.DataTree, frames: list[Frame], sample: int, width: float
) -> np.ndarray:
    """Draw each frame's wedge and line, and constant mass; give points along the lines."""
    along = np.linspace(0, width, 2)
    places = [np.column_stack([np.linspace(0, width, 120)] * 2)]
    axes.plot(
        along, along, color=style.MUTED, lw=1, ls=(0, (4, 3)), label="constant mass (slope 1)"
    )
    for frame in frames:
        low, middle, high = data.quantiles(fit, "frame_mass_change", frame.index)[:, sample]
        axes.fill_between(
            along, along * np.exp(-high), along * np.exp(-low), color=frame.colour, alpha=0.16, lw=0
        )
        label = (
            f"{frame.name}, weight {frame.weight:.2f}, M/M₀ = {np.exp(middle):.2f} "
            f"({np.exp(low):.2f} to {np.exp(high):.2f}): {data.pretty(frame.elements)}"
        )
        axes.plot(along, along * np.exp(-middle), color=frame.colour, label=label)
        line = np.linspace(0, width, 120)
        places.append(np.column_stack([line, line * np.exp(-middle)]))
    return np.concatenate(places)


def _draw_errors(axes: Axes, x: np.ndarray, y: np.ndarray, error: np.ndarray) -> None:
    factor = np.exp(NORMAL_95 * error)
    some = error > 0
    axes.vlines(x[some], (y / factor)[some], (y * factor)[some], color=style.MUTED, lw=0.9)


def _draw_elements(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    probability: np.ndarray,
    members: list[Frame | None],
    below: np.ndarray,
) -> None:
    """Draw the elements: filled by P(immobile), ringed in the colour of their frame."""
    edges = np.array([member.colour if member else style.MUTED for member in members])
    for marker, which in (("o", ~below), ("v", below)):
        axes.scatter(
            x[which],
            y[which],
            c=probability[which],
            cmap=style.SEQUENTIAL,
            vmin=0,
            vmax=1,
            s=42,
            marker=marker,
            edgecolors=list(edges[which]),
            linewidths=1.6,
            zorder=5,
        )


def _isocon_legend(axes: Axes, members: list[Frame | None]) -> list[Line2D]:
    handles = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    handles = handles[1:] + handles[:1]
    if any(member is None for member in members):
        handles.append(
            Line2D([], [], marker="o", ls="", mfc="white", mec=style.MUTED, label="in no frame")
        )
    return handles


def _forest(rows: int, legend_lines: int, frames: int = 1) -> tuple[Figure, Axes]:
    """Make a figure with one row per element, high enough to read them."""
    height = 1.35 + rows * (0.2 + 0.06 * (frames > 1) * frames) + 0.2 * legend_lines
    figure = style.new_figure(7.6, height)
    axes = figure.subplots()
    axes.grid(axis="both")
    axes.set_ylim(-0.7, rows - 0.3)
    return figure, axes


def _name_rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(np.arange(len(names)), [data.pretty(name) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylabel("element")


def mass_text(fit: xr.DataTree, frame: Frame) -> str:
    """Write M/M0 of a frame: median and 90 % interval of one sample, or the range of medians."""
    low, middle, high = data.quantiles(fit, "frame_mass_ratio", frame.index)
    if len(middle) == 1:
        return f"M/M₀ {middle[0]:.2f} ({low[0]:.2f} to {high[0]:.2f})"
    return f"M/M₀ {middle.min():.2f} to {middle.max():.2f}"


def _answers(fit: xr.DataTree) -> dict[str, Callable[[int], np.ndarray]]:
    """Give M/M0 and, if known, V/V0 as functions frame -> (3, sample)."""
    answers = {"M/M₀": lambda frame: data.quantiles(fit, "frame_mass_ratio", frame)}
    if "volume_ratio" in fit["derived"]:
        answers["V/V₀"] = lambda frame: data.volume_quantiles(fit, frame)
    return answers


def _profiles(table: xr.Dataset) -> dict[str, np.ndarray]:
    if "profile" not in table.coords:
        return {"": np.arange(table.sizes["sample"])}
    labels = table["profile"].values.astype(str)
    return {name: np.flatnonzero(labels == name) for name in dict.fromkeys(labels)}


def _draw_series(
    axes: Axes, place: np.ndarray, values: np.ndarray, frame: Frame, along: bool, frames: int
) -> None:
    """Draw medians and 90 % intervals: a band along a distance, bars by sample."""
    low, middle, high = values
    if along:
        order = np.argsort(place, kind="stable")
        axes.fill_between(
            place[order], low[order], high[order], color=frame.colour, alpha=0.18, lw=0
        )
        axes.plot(place[order], middle[order], "o-", color=frame.colour, ms=4, lw=1.2)
    else:
        shift = 0.0 if frames == 1 else 0.36 * (frame.index / (frames - 1) - 0.5)
        axes.vlines(place + shift, low, high, color=frame.colour, lw=1.6)
        axes.plot(place + shift, middle, "o", color=frame.colour, ms=4.5, mec="white", mew=0.5)


def _frame_handles(frames: list[Frame]) -> list[Line2D]:
    return [
        Line2D(
            [],
            [],
            color=frame.colour,
            marker="o",
            ms=5,
            label=frame.caption,
        )
        for frame in frames
    ]


def _mass_change_of_one(fit: xr.DataTree) -> Figure:
    names = [name for name in ("mass_ratio", "volume_ratio") if name in fit["derived"]]
    labels = {"mass_ratio": "M/M₀ (mass ratio)", "volume_ratio": "V/V₀ (volume ratio)"}
    frames = data.frames_of(fit)
    figure = style.new_figure(7.6 if len(names) == 1 else 9.6, 2.6 + 0.25 * len(frames))
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        draws = [data.frame_draws(fit, name, frame.index, 0) for frame in frames]
        pooled = np.concatenate(draws)
        low, high = np.quantile(pooled, [0.001, 0.999])
        room = 0.08 * (high - low) or 0.05 * abs(low)
        grid = np.linspace(low - room, high + room, 500)
        bars: list[tuple[np.ndarray, str]] = []
        for frame, values in zip(frames, draws, strict=True):
            curve = frame.weight * style.density(values, grid) if values.std() > 0 else None
            if curve is None:
                axes.axvline(values[0], color=frame.colour)
                continue
            axes.fill_between(grid, curve, color=frame.colour, alpha=0.25, lw=0)
            axes.plot(grid, curve, color=frame.colour)
            ends = np.quantile(values, [0.05, 0.5, 0.95])
            bars.append((ends, frame.colour))
        axes.axvline(1.0, color=style.MUTED, lw=1, ls=(0, (4, 3)))
        below = -0.06 * axes.get_ylim()[1]
        for ends, colour in bars:
            axes.plot(ends[[0, 2]], [below, below], color=colour, lw=3, solid_capstyle="butt")
            axes.plot(ends[1], below, "o", color="white", mec=colour, ms=6)
        axes.set_ylim(bottom=2 * below)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"{labels[name]}; bar: 90 % within the frame")
        axes.set_ylabel("posterior density × weight")
    figure.legend(loc="outside lower left", handles=_frame_handles(frames))
    return figure
