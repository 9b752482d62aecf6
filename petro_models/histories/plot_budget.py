"""A plot of where the uncertainty of a history comes from."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from petro_models.histories.budget import variance_budget
from petro_models.report import style

NAMES = {
    "pressure_kbar": ("pressure", "kbar"),
    "temperature_C": ("temperature", "°C"),
    "time_Myr": ("time since the first analysis", "Myr"),
    "age_Ma": ("age", "Myr"),
}


@style.styled
def plot_variance_budget(fit: xr.DataTree) -> Figure:
    """Draw what each source contributes to the variance along the grains, as shares.

    Parameters
    ----------
    fit
        A fit of `Histories` with profiles.
    """
    budget = variance_budget(fit)
    figure = style.new_figure(8.6, 0.8 + 0.5 * len(budget.data_vars))
    axes = figure.subplots()
    for row, name in enumerate(budget.data_vars):
        parts = budget[name].mean("position")
        shares, left = (parts / parts.sum()).to_numpy(), 0.0
        for index, share in enumerate(shares):
            source = str(budget["source"].values[index])
            axes.barh(
                row, share, left=left, color=style.category(index), edgecolor="white", lw=1.2,
                height=0.62, label=source if row == 0 else None,
            )  # fmt: skip
            if share > 0.07:
                axes.text(
                    left + share / 2, row, f"{share:.0%}", ha="center", va="center", color="white",
                    fontsize=9,
                )  # fmt: skip
            left += share
    labels = []
    for name in budget.data_vars:
        meaning, unit = NAMES[str(name)]
        labels.append(
            f"{meaning}\n(sd {np.sqrt(float(budget[name].sum('source').mean())):.2g} {unit})"
        )
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share of the variance")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    figure.legend(loc="outside upper center", ncols=5)
    return figure
