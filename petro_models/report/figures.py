"""Figures that every problem gets: prior against posterior, replicated against observed."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from petro_models.report import style

COLUMNS = 4


@style.styled
def prior_against_posterior(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw prior and posterior densities of a few quantities.

    Parameters
    ----------
    pairs
        Name -> draws of the prior, draws of the posterior.
    """
    columns = min(COLUMNS, max(2, len(pairs)))
    rows = int(np.ceil(len(pairs) / columns))
    figure = style.new_figure(min(9.6, 2.6 * columns), 0.4 + 1.75 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, (prior, posterior)) in zip(panels, pairs.items(), strict=False):
        ends = [np.quantile(draws, [0.05, 0.5, 0.95]) for draws in (prior, posterior)]
        low, high = _window(prior, posterior)
        grid = np.linspace(low, high, 400)
        for level, draws, end, colour in zip(
            (0.1, 0.04), (prior, posterior), ends, (style.PRIOR, style.POSTERIOR), strict=True
        ):
            if draws.std() == 0:
                axes.axvline(float(draws.flat[0]), color=colour)
                continue
            curve = style.density(draws, grid)
            axes.fill_between(grid, curve / curve.max(), color=colour, alpha=0.3, lw=0)
            axes.plot(grid, curve / curve.max(), color=colour, lw=1.3)
            axes.plot(end[[0, 2]], [-level, -level], color=colour, lw=2.5, solid_capstyle="butt")
        axes.set(xlim=(low, high), ylim=(-0.16, 1.08))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(_shortened(name))
        axes.locator_params(axis="x", nbins=4)
    for axes in panels[len(pairs) :]:
        axes.set_visible(False)
    return figure


@style.styled
def predictive_statistics(statistics: Mapping[str, tuple[float, np.ndarray]]) -> Figure:
    """Draw statistics of the observed data among their replicates.

    Parameters
    ----------
    statistics
        Name -> observed value and its replicates.
    """
    count = len(statistics)
    figure = style.new_figure(3.9 * min(count, 2), 2.4 * int(np.ceil(count / 2)))
    panels = figure.subplots(int(np.ceil(count / 2)), min(count, 2), squeeze=False).ravel()
    for axes, (name, (observed, replicated)) in zip(panels, statistics.items(), strict=False):
        values = replicated[np.isfinite(replicated)]
        axes.hist(values, bins=30, color=style.FAINT, edgecolor="white", linewidth=0.4)
        low, high = np.quantile(values, [0.05, 0.95])
        bottom = -0.05 * axes.get_ylim()[1]
        axes.plot([low, high], [bottom, bottom], color=style.MUTED, lw=3, solid_capstyle="butt")
        axes.axvline(observed, color=style.CATEGORIES[1], lw=2)
        axes.set_xlabel(name)
        axes.set_ylabel("replicated data sets")
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure


def shown_first(names: Mapping[str, Sequence[str]], at_most: int) -> list[str]:
    """Choose a few labels among many: every variable in turn, evenly spread over its labels.

    Parameters
    ----------
    names
        Variable -> labels of its entries.
    at_most
        How many to choose.
    """
    share = dict.fromkeys(names, 0)
    while sum(share.values()) < at_most:
        open_names = [name for name in names if share[name] < len(names[name])]
        if not open_names:
            break
        share[min(open_names, key=lambda name: share[name])] += 1
    return [
        names[name][index]
        for name, count in share.items()
        for index in np.unique(np.linspace(0, len(names[name]) - 1, count).round().astype(int))
    ]


def _window(prior: np.ndarray, posterior: np.ndarray) -> tuple[float, float]:
    """Give limits that hold the posterior and the bulk of the prior."""
    low = min(np.quantile(prior, 0.01), np.quantile(posterior, 0.001))
    high = max(
        np.quantile(prior, 0.97 if prior.min() >= 0 else 0.99), np.quantile(posterior, 0.999)
    )
    room = 0.03 * (high - low) or 1.0
    return float(low - room), float(high + room)


def _shortened(name: str, length: int = 30) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
