"""Ticks that a reader can read: percent on a log-ratio axis, plain numbers on a log axis."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

FACTORS = np.array([1, 1 / 2, 1 / 5, 1 / 10, 1 / 20, 1 / 100, 1 / 1000, 1 / 3, 2 / 3])
"""Amounts left where an axis of gains and losses may have ticks, the most wanted first; gains
mirror the losses."""


def percent_ticks(axis: Axis, limits: tuple[float, float]) -> None:
    """Tick an axis of ln(1 + gain) at round changes, labelled in percent."""
    places = np.stack([np.log(FACTORS), -np.log(FACTORS)], axis=1).ravel()
    inside = places[(places >= limits[0]) & (places <= limits[1])]
    if len(np.unique(inside)) < 4:
        small = np.log1p(np.array([0, -0.1, 0.1, -0.2, 0.2, -0.3, 0.4, -0.05, 0.05]))
        inside = small[(small >= limits[0]) & (small <= limits[1])]
    axis.set_major_locator(FixedLocator(_apart(inside, limits)))
    axis.set_major_formatter(FuncFormatter(lambda place, _: percent(np.expm1(place))))


def plain_log_ticks(axis: Axis, limits: tuple[float, float]) -> None:
    """Tick a log axis at round numbers written as numbers."""
    span = np.log(limits[1] / limits[0])
    mantissas = {
        True: [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2, 3, 4, 5, 6, 7, 8, 9, 9.5],
        False: [1.0, 2.0, 5.0] if span > 3 else [1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
    }[span < 1.0]
    decades = 10.0 ** np.arange(-8, 9)
    places = (decades[:, None] * np.array(mantissas)).ravel()
    places = places[(places >= limits[0]) & (places <= limits[1])]
    axis.set_major_locator(FixedLocator(list(places)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda place, _: f"{place:.3g}"))


def symmetric_scale(axes: Axes, values: np.ndarray) -> None:
    """Use a log scale on both sides of zero, linear below the smaller changes."""
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    smallest = np.quantile(size, 0.25) if size.size else 1.0
    threshold = 10.0 ** np.ceil(np.log10(smallest))
    axes.set_xscale("symlog", linthresh=threshold, linscale=0.6)
    decades = 10.0 ** np.arange(np.log10(threshold), np.ceil(np.log10(max(size.max(), 1e-12))) + 1)
    places = np.concatenate([-decades[::-1], [0.0], decades])
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(FixedLocator(list(places[(places >= low) & (places <= high)])))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda place, _: f"{place:+g}".replace("-", "−") if place else "0")
    )


def name_along(axes: Axes, samples: list[str], what: str) -> None:
    """Label samples (or the like) along the axis; every nth where there are too many."""
    step = int(np.ceil(len(samples) / 36))
    shown = np.arange(0, len(samples), step)
    long = len(samples) > 14 or max(map(len, samples)) > 4
    axes.set_xticks(
        shown,
        [samples[i] for i in shown],
        rotation=60 if long else 0,
        ha="right" if long else "center",
        rotation_mode="anchor",
    )
    axes.set_xlabel(what if step == 1 else f"{what} (every {step}th is named)")


def percent(change: float) -> str:
    """Write a relative change: ``+100 %``, ``−50 %``, ``0``."""
    number = round(100 * change, 1 if abs(change) > 0.98 and change < 0 else 0)
    if number == 0:
        return "0"
    return f"{'+' if number > 0 else '−'}{abs(number):,.10g} %".replace(",", "\u2009")


def _apart(places: np.ndarray, limits: tuple[float, float], share: float = 0.085) -> list[float]:
    """Keep ticks that stand apart by a share of the axis, the most wanted first."""
    kept: list[float] = []
    for place in places:
        if all(abs(place - other) >= share * (limits[1] - limits[0]) for other in kept):
            kept.append(float(place))
    return sorted(kept)
