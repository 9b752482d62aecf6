"""One HTML page of a calibration: coverage, and ranks against what calibrated ones would show."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from arviz_stats.ecdf_utils import ecdf_pit
from matplotlib.figure import Figure

from petro_models.inference.calibration import Calibration
from petro_models.report import style
from petro_models.report.cards import Block, Card, Cell, Paragraph, Table, number, picture
from petro_models.report.page import page

if TYPE_CHECKING:
    from petro_models.calibration import CalibrationResult

COLUMNS = 3
BAND = 0.95
BAND_SIMULATIONS = 1000
SUSPICIOUS = 0.05
REFERENCES = [
    "Talts, S., Betancourt, M., Simpson, D., Vehtari, A., Gelman, A. (2018) Validating Bayesian "
    "inference algorithms with simulation-based calibration. arXiv:1804.06788",
    "Säilynoja, T., Bürkner, P.-C., Vehtari, A. (2022) Graphical test for discrete uniformity and "
    "its applications in goodness-of-fit evaluation and multiple sample comparison. Statistics and "
    "Computing 32, 32",
]
SENTENCES = {
    "PASS": "The ranks are as even as those of a calibrated sampler.",
    "REVIEW": "The ranks are more uneven than chance would make most of them: look at the figure.",
    "FAIL": "The posteriors are not calibrated, or too many replicates failed.",
}


def write_calibration_page(result: "CalibrationResult", path: str | Path) -> Path:
    """Write the page: whole, or not at all."""
    from petro_models.io.fits import write_text

    return write_text(render(result), path)


def render(result: "CalibrationResult") -> str:
    """Give the page as text."""
    facts = result.facts
    kind = str(facts["problem"]).replace("-", " ")
    draws, chains = facts["draws, chains"]
    provenance = (
        f"petro_models {facts['versions']['petro_models']} · {facts['method']}, {chains} chains of "
        f"{draws} draws · seed {facts['seed']} · {facts['date']} · {facts['seconds']:,.0f} s · "
        f"model {facts['model_id']}"
    )
    cards = [_answer(result), _ranks(result), _replicates(result)]
    return page(f"Calibration: {kind}", provenance, result.verdict, cards)


def _answer(result: "CalibrationResult") -> Card:
    counts = ", ".join(f"{count} {name}" for name, count in result.counts.items())
    rows: list[Sequence[Cell | str]] = [
        [
            Cell(one.name, "strong"),
            str(one.pit.size),
            Cell(number(one.coverage), "" if one.p_covered > SUSPICIOUS else "REVIEW"),
            _expected(one.pit.size),
            Cell(number(one.p_uniform, 2), "" if one.p_uniform > SUSPICIOUS else "REVIEW"),
        ]
        for one in result.quantities
    ]
    headings = ["quantity", "truths", "90 % intervals hold", "calibrated would hold", "p of ranks"]
    blocks: list[Block] = [
        Paragraph(SENTENCES[result.verdict], "lead"),
        Paragraph(
            "Truths were drawn from the priors, data from the model given them, at the design of "
            f"the data at hand; each data set was fitted like a measured one. Replicates: {counts}."
        ),
        Table(
            headings,
            rows,
            "Share of truths in their 90 % equal-tailed intervals, beside the range in which a "
            "calibrated sampler would fall nineteen times in twenty; and the probability of ranks "
            "as uneven as these (Kolmogorov-Smirnov).",
            frozenset({1, 2, 3, 4}),
        ),
    ]
    # The banner of a page links to its checks: here they are these.
    return Card("Coverage", "checks", "answer", blocks, REFERENCES[:1])


def _expected(truths: int) -> str:
    """Give the central 95 % of the share of so many truths that nine in ten intervals hold."""
    from scipy.stats import binom

    low, high = binom.ppf([0.025, 0.975], truths, 0.9) / truths
    return f"{low:.2f}–{high:.2f}"


def _ranks(result: "CalibrationResult") -> Card:
    figure = rank_figure(result.quantities)
    uneven = [one.name for one in result.quantities if one.p_uniform <= SUSPICIOUS]
    words = f"Uneven: {', '.join(uneven)}." if uneven else "None is uneven by itself."
    return Card(
        "Ranks",
        "ranks",
        "figures",
        [
            picture(
                figure,
                f"Rank curves of {len(result.quantities)} quantities in their bands. {words}",
                "Distribution of the ranks of the truths among their posterior draws, less the "
                "even one, with the band that holds calibrated curves as a whole with "
                f"probability {BAND:.0%}. A curve that rises then falls: truths are too low in "
                "their posteriors; an S: intervals are too narrow or too wide. " + words,
            )
        ],
        REFERENCES[1:],
    )


@style.styled
def rank_figure(quantities: Sequence[Calibration]) -> Figure:
    """Draw each quantity's rank distribution less the even one, with its simultaneous band."""
    columns = min(COLUMNS, max(1, len(quantities)))
    rows = max(1, int(np.ceil(len(quantities) / columns)))
    figure = style.new_figure(3.1 * columns, 0.4 + 1.9 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    bands: dict[int, tuple[np.ndarray, ...]] = {}
    for axes, one in zip(panels, quantities, strict=False):
        size = one.pit.size
        if size not in bands:
            even = (np.arange(size) + 0.5) / size
            found = ecdf_pit(even, BAND, BAND_SIMULATIONS, rng=np.random.default_rng(0))
            bands[size] = (found[0], found[2], found[3])
        at, low, high = bands[size]
        reached = np.searchsorted(np.sort(one.pit), at, side="right") / size
        axes.fill_between(at, low - at, high - at, color=style.PRIOR, alpha=0.3, lw=0, step="mid")
        axes.axhline(0, color="0.5", lw=0.8)
        axes.step(at, reached - at, where="mid", color=style.POSTERIOR, lw=1.4)
        axes.set_title(one.name, fontsize="small")
        axes.set(xlim=(0, 1))
        axes.locator_params(nbins=4)
    for axes in panels[len(quantities) :]:
        axes.set_visible(False)
    for index in range(max(0, len(quantities) - columns), len(quantities)):
        panels[index].set_xlabel("rank of the truth, as a share")
        panels[index].tick_params(labelbottom=True)
    return figure


def _replicates(result: "CalibrationResult") -> Card:
    odd = [(number, status) for number, status in enumerate(result.status) if status != "ok"]
    blocks: list[Block] = [Paragraph("Every replicate ended well.")]
    if odd:
        rows: list[Sequence[Cell | str]] = [[str(number), status] for number, status in odd]
        blocks = [
            Paragraph(
                "Failed replicates are left out above; those that did not converge are ranked all "
                "the same, since to leave them out would hide what they show."
            ),
            Table(["replicate", "what became of it"], rows, "", frozenset(), wide=True),
        ]
    return Card("Replicates", "replicates", "results", blocks)
