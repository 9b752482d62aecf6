"""The cards of a mass-transfer report: frames, figures, gains and losses, baselines, data."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from petro_models.mass_transfer import plot_data as data
from petro_models.mass_transfer import plots, tables
from petro_models.report.cards import Block, Card, Paragraph, figure_card, picture
from petro_models.report.generic import is_point

if TYPE_CHECKING:
    from petro_models.mass_transfer.problem import MassTransfer

GIVEN = "90 %, equal-tailed, given the frame"
MANY_SAMPLES = 6
"""Beyond so many samples a map shows all gains and losses beside those of one sample."""

GRANT = "Grant, J.A. (1986) The isocon diagram. Economic Geology 81, 1976-1982."
GRESENS = (
    "Gresens, R.L. (1967) Composition-volume relationships of metasomatism. Chemical Geology 2, "
    "47-65."
)
BASELINES = (
    "Grant, J.A. (2005) Isocon analysis: A brief review of the method and applications. Physics "
    "and Chemistry of the Earth 30, 997-1004.",
    "Baumgartner, L.P., Olsen, S.N. (1995) A least-squares approach to mass transport calculations "
    "using the isocon method. Economic Geology 90, 1261-1270.",
    "Ague, J.J., van Haren, J.L.M. (1996) Assessing metasomatic mass and volume changes using the "
    "bootstrap. Economic Geology 91, 1169-1182.",
)


def cards(problem: "MassTransfer", fit: xr.DataTree) -> list[Card]:
    """Make the cards that only mass transfer has.

    Parameters
    ----------
    problem
        The problem that was fitted.
    fit
        Its fit.
    """
    made = [
        frames_card(fit),
        mass_change_card(fit),
        isocon_card(fit),
        ratio_card(fit),
        *gain_figure_cards(fit),
        gain_table_card(fit),
        baselines_card(problem, fit),
        data_card(fit),
    ]
    if "posterior_predictive" in fit.children and not is_point(fit):
        made.append(predictive_card(fit))
    return made


def frames_card(fit: xr.DataTree) -> Card:
    """Show which elements may be the immobile ones, and what mass change each set implies."""
    frames = data.frames_of(fit)
    samples = data.labels_of(fit, "sample")
    named = f"sample {samples[0]}" if len(samples) == 1 else f"{len(samples)} samples"
    alt = (
        f"Probability of each element being immobile in each of {len(frames)} frames, {named}: "
        + (
            "; ".join(
                f"{frame.name}, weight {frame.weight:.2f}: {frame.elements}" for frame in frames
            )
        )
    )
    caption = (
        "P(immobile) of each element, given the frame. Beside each frame its weight and M/M0: "
        + (f"median and interval ({GIVEN})." if len(samples) == 1 else "range of sample medians.")
    )
    blocks: list[Block] = [
        tables.frame_table(fit),
        picture(plots.plot_frames(fit), alt + ".", caption),
    ]
    return Card("Immobile frames", "frames", "answer", blocks)


def mass_change_card(fit: xr.DataTree) -> Card:
    """Show M/M0 (and V/V0) of every sample."""
    one = fit["derived"].sizes["sample"] == 1
    what = "M/M0 and V/V0" if "volume_ratio" in fit["derived"] else "M/M0"
    caption = (
        f"{what}: posterior density of each frame, its area the frame's weight; bars: {GIVEN}. "
        "Dashed: no change."
        if one
        else f"{what} of every sample: medians and intervals ({GIVEN}). Dashed: no change."
    )
    alt = f"{what} by frame. " + " ".join(
        f"{frame.name}: {plots.mass_text(fit, frame)}." for frame in data.frames_of(fit)
    )
    return figure_card("Mass change", "mass-change", plots.plot_mass_change(fit), alt, caption)


def isocon_card(fit: xr.DataTree) -> Card:
    """Show the isocon diagram of one sample."""
    caption = (
        "Isocon diagram (Grant 1986). Each element is multiplied in both rocks by the number "
        f"beside it. Lines: isocons, slope M0/M, with bands ({GIVEN}). Points: filled by "
        "P(immobile), ringed in the colour of the frame they belong to; vertical bars: 90 % "
        "from stated errors. An element above an isocon was gained if that isocon holds, one below "
        "it was lost." + _which(fit)
    )
    sample = _sample(fit)
    alt = f"Isocon diagram of sample {sample}: protolith against altered concentrations with the "
    alt += f"isocons of {len(data.frames_of(fit))} frame(s)."
    figure = plots.plot_isocon(fit)
    return Card("Isocon diagram", "isocon", "figures", [picture(figure, alt, caption)], [GRANT])


def ratio_card(fit: xr.DataTree) -> Card:
    """Show C/C0 sorted."""
    caption = (
        f"C/C0 of each element, sorted. Vertical lines: M0/M of each frame, with bands ({GIVEN}); "
        "elements on a line did not move if that frame is the immobile one. Bars: 90 % from stated "
        "errors and the protolith's scatter, where there are any." + _which(fit)
    )
    alt = f"Concentration ratios of sample {_sample(fit)}, element by element, sorted."
    figure = plots.plot_concentration_ratio(fit)
    return figure_card("Concentration ratios", "ratios", figure, alt, caption)


def gain_figure_cards(fit: xr.DataTree) -> list[Card]:
    """Show gains and losses of one sample, and of all samples as a map where they are many."""
    caption = (
        f"Gain (right) or loss (left) of each element: medians and intervals ({GIVEN}); open "
        "circles: immobile in that frame. Doubling and halving are equally far from no change."
        + _which(fit)
    )
    alt = f"Gains and losses of sample {_sample(fit)} in percent, element by element and by frame."
    blocks: list[Block] = [picture(plots.plot_gain_loss(fit), alt, caption)]
    grams_caption = (
        f"The same by mass: g per 100 g of protolith ({GIVEN}); linear about zero, log beyond."
        + _which(fit)
    )
    grams_alt = f"Gains and losses of sample {_sample(fit)} in grams per 100 g of protolith."
    blocks.append(picture(plots.plot_gain_loss(fit, by_mass=True), grams_alt, grams_caption))
    made = [Card("Gains and losses", "gains", "figures", blocks)]
    if fit["derived"].sizes["sample"] > MANY_SAMPLES:
        map_caption = (
            "Median gain (red) or loss (blue) of every element in every sample, given the frame; "
            f"dots: the interval ({GIVEN}) holds no change; colours end at a factor of four."
        )
        map_alt = "Map of gains and losses, elements by samples."
        made.append(
            figure_card(
                "Gains and losses of all samples",
                "gain-map",
                plots.plot_gain_loss_map(fit),
                map_alt,
                map_caption,
            )
        )
    return made


def gain_table_card(fit: xr.DataTree) -> Card:
    """Tabulate mass change of every sample, and gains and losses per frame."""
    blocks: list[Block] = [*tables.mass_tables(fit), *tables.gain_tables(fit)]
    if not all(data.gains_by_mass(fit, frame.index)[1] for frame in data.frames_of(fit)):
        blocks.append(
            Paragraph(
                "Grams are the ratio's quantiles times the protolith's mean; the error of that "
                "mean is left out of them.",
                "note",
            )
        )
    return Card("Gains and losses in numbers", "gain-table", "results", blocks)


def predictive_card(fit: xr.DataTree) -> Card:
    """Show observed log ratios among replicated ones."""
    caption = (
        "Observed ln(C/C0) of each element (points) against replicated analyses (grey, 90 %, "
        "equal-tailed, over all frames; tick: median). Elements far outside moved more than the "
        "prior on mobility expects." + _which(fit)
    )
    alt = f"Observed log ratios of sample {_sample(fit)} against their replicated intervals."
    figure = plots.plot_predictive(fit)
    return figure_card(
        "Observed against replicated log ratios",
        "predictive-ratios",
        figure,
        alt,
        caption,
        "predictive",
    )


def baselines_card(problem: "MassTransfer", fit: xr.DataTree) -> Card:
    """Put the classical methods beside this fit."""
    error = _relative_error(problem)
    samples = data.labels_of(fit, "sample")
    picked = [samples[i] for i in tables.baseline_samples(fit)]
    blocks: list[Block] = [tables.baseline_table(fit, error)]
    note = f"Where the table states no error, the classical methods take {100 * error:.3g} %. "
    if len(picked) < len(samples):
        note += (
            f"Shown for samples {', '.join(picked)} of {len(samples)}: those whose mass changed "
            "least, middling and most; the sparse isocon searches one set for these together. "
        )
    note += "The sparse isocon and the largest consistent set are our readings of published ideas."
    blocks.append(Paragraph(note, "note"))
    with_densities = {"density", "protolith_density"} <= set(problem.data)
    used = [GRANT, *BASELINES] + ([GRESENS] if with_densities else [])
    return Card("Classical methods beside this fit", "baselines", "baselines", blocks, used)


def data_card(fit: xr.DataTree) -> Card:
    """Tabulate the data as they were read, with the reader's notes."""
    table = fit["constant_data"].to_dataset()
    blocks: list[Block] = [Paragraph(f"Source: {table.attrs.get('source', 'in memory')}.")]
    citation = str(table.attrs.get("citation", ""))
    if citation:
        blocks.append(Paragraph(f"Published in: {citation}."))
    blocks += tables.data_tables(table)
    notes = [line for line in str(table.attrs.get("notes", "")).splitlines() if line.strip()]
    if notes:
        blocks.append(Paragraph("Notes of the reader: " + "; ".join(notes) + ".", "note"))
    return Card("Data", "data", "data", blocks, [f"{citation}."] if citation else [])


def _sample(fit: xr.DataTree) -> str:
    return data.labels_of(fit, "sample")[data.chosen_sample(fit, None)]


def _which(fit: xr.DataTree) -> str:
    if fit["derived"].sizes["sample"] == 1:
        return ""
    return f" Shown: sample {_sample(fit)}, whose mass changed most."


def _relative_error(problem: "MassTransfer") -> float:
    """Take the tolerance for the error of analyses without one, where it is a known number."""
    if problem.priors.is_known("tolerance"):
        value = problem.priors.known("tolerance")
        if np.ndim(value) == 0:
            return float(value)
    return 0.03
