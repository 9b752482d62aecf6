"""The cards that every problem gets; nothing here knows what the problem is about."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from petro_models.inference.checks import ORDER
from petro_models.problem import check
from petro_models.report import figures, sentences
from petro_models.report.cards import (
    Block,
    Card,
    Cell,
    Paragraph,
    Table,
    interval,
    number,
    picture,
)

if TYPE_CHECKING:
    from petro_models.problem import InverseProblem

SHOWN_QUANTITIES = 8
LONGEST_TABLE = 150


def cards(problem: "InverseProblem", fit: xr.DataTree) -> list[Card]:
    """Make the cards that every problem gets, leaving out what the fit does not hold."""
    made: list[Card | None] = [
        answer_card(problem, fit),
        checks_card(fit),
        priors_card(problem),
        prior_posterior_card(problem, fit),
        sensitivity_card(fit),
        predictive_card(problem, fit),
        provenance_card(fit),
    ]
    return [card for card in made if card is not None]


def answer_card(problem: "InverseProblem", fit: xr.DataTree) -> Card:
    """Say the answer in words and numbers."""
    blocks = [Paragraph(sentence, "lead") for sentence in problem.headline(fit)]
    if is_point(fit):
        blocks.append(Paragraph(sentences.POINT))
    return Card("Answer", "answer", "answer", [*blocks, Paragraph(sentences.INTERVALS, "note")])


def checks_card(fit: xr.DataTree) -> Card:
    """List every verdict with its finding and advice."""
    verdicts = check(fit)
    rows: list[list[Cell | str]] = [
        [Cell(one.verdict, one.verdict), Cell(one.name, "strong"), one.finding, one.advice]
        for one in sorted(verdicts, key=lambda one: -ORDER[one.verdict])
    ]
    blocks: list[Block] = [
        Paragraph(sentences.VERDICTS[verdicts.verdict]),
        Table(["verdict", "what", "finding", "what to do"], rows),
    ]
    uses_chains = any(one.name == "R-hat" for one in verdicts)
    return Card(
        "Checks",
        "checks",
        "checks",
        blocks,
        [sentences.REFERENCE_CONVERGENCE] if uses_chains else [],
    )


def priors_card(problem: "InverseProblem") -> Card:
    """List the priors in force; edited ones are marked, with the default beside them."""
    priors = problem.priors
    defaults = type(priors)(priors.specifications, {})
    rows: list[list[Cell | str]] = []
    for name, specification in priors.specifications.items():
        edited = name in priors.edited
        in_force = compact(priors.describe(name))
        default = compact(defaults.describe(name))
        reason = specification.reason
        if specification.source:
            reason = f"{reason} ({specification.source})"
        rows.append(
            [
                Cell(name, "strong"),
                specification.meaning,
                Cell(f"{in_force} · edited", "REVIEW") if edited else in_force,
                default if edited else Cell("in force", "muted"),
                f"of the default: {reason}" if edited else reason,
            ]
        )
    table = Table(["name", "meaning", "prior in force", "default", "reason and source"], rows)
    return Card("Priors in force", "priors", "priors", [Paragraph(sentences.PRIORS), table])


def compact(described: str) -> str:
    """Write a long table ``Al=0.7, Si=0.4, Ti=0.7`` by value: ``0.7: Al Ti; 0.4: Si``."""
    parts = [part.split("=") for part in described.split(", ")]
    if "(" in described or len(parts) < 2 or any(len(part) != 2 for part in parts):
        return described
    by_value: dict[str, list[str]] = {}
    for label, value in parts:
        by_value.setdefault(value, []).append(label)
    ordered = sorted(by_value, key=lambda value: -float(value))
    return "; ".join(f"{value}: {' '.join(by_value[value])}" for value in ordered)


def prior_posterior_card(problem: "InverseProblem", fit: xr.DataTree) -> Card | None:
    """Draw and tabulate prior against posterior of the sampled quantities."""
    if "prior" not in fit.children or is_point(fit):
        return None
    prior, posterior = (flattened(fit[group].to_dataset()) for group in ("prior", "posterior"))
    shared = {
        name: [label for label in labels if label in prior[name]]
        for name, labels in posterior.items()
        if name in prior
    }
    pairs = {
        label: (prior[name][label], posterior[name][label])
        for name, labels in shared.items()
        for label in labels
    }
    if not pairs:
        return None
    shown = figures.shown_first(shared, SHOWN_QUANTITIES)
    figure = figures.prior_against_posterior({label: pairs[label] for label in shown})
    rows = [_contraction_row(label, *draws) for label, draws in list(pairs.items())[:LONGEST_TABLE]]
    table = Table(
        ["quantity", "prior, 90 %", "posterior, 90 %", "contraction"],
        rows,
        sentences.CONTRACTION_CAPTION + _cut(len(pairs), LONGEST_TABLE),
        frozenset({1, 2, 3}),
    )
    alt = f"Prior and posterior densities of {', '.join(shown)}."
    meanings = "; ".join(
        f"{name}: {problem.priors.specifications[name].meaning}"
        for name in shared
        if name in problem.priors
    )
    caption = f"{sentences.PRIOR_POSTERIOR_CAPTION}{_cut(len(pairs), len(shown))} {meanings}"
    caption = caption.strip().removesuffix(".") + "."
    return Card(
        "Prior against posterior",
        "prior-posterior",
        "prior_posterior",
        [Paragraph(sentences.PRIOR_POSTERIOR), picture(figure, alt, caption), table],
    )


def _cut(total: int, shown: int) -> str:
    return f" {shown} of {total} quantities are shown." if total > shown else ""


def _contraction_row(label: str, prior: np.ndarray, posterior: np.ndarray) -> list[Cell | str]:
    ends = [np.quantile(draws, [0.05, 0.95]) for draws in (prior, posterior)]
    widths = [float(end[1] - end[0]) for end in ends]
    contraction = 1 - (widths[1] / widths[0]) ** 2 if widths[0] else float("nan")
    return [
        label,
        *(interval(float(end[0]), float(end[1])) for end in ends),
        Cell(f"{contraction:.2f}".replace("-", "−"), "strong" if contraction < 0.1 else ""),
    ]


def flattened(draws: xr.Dataset) -> dict[str, dict[str, np.ndarray]]:
    """Give the draws of every scalar entry: variable -> ``name[label]`` -> draws."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, array in draws.data_vars.items():
        stacked = array.transpose("chain", "draw", ...).to_numpy()
        values = stacked.reshape(-1, *stacked.shape[2:])
        dims = [dim for dim in array.dims if dim not in ("chain", "draw")]
        entries = {}
        for index in np.ndindex(values.shape[1:]):
            labels = [str(array[dim].values[i]) for dim, i in zip(dims, index, strict=True)]
            label = f"{name}[{', '.join(labels)}]" if labels else str(name)
            entries[label] = values[(slice(None), *index)]
        found[str(name)] = entries
    return found


def sensitivity_card(fit: xr.DataTree) -> Card | None:
    """Tabulate how far the answers would move with the prior and with the likelihood."""
    if "sensitivity" not in fit.children:
        return None
    dataset = fit["sensitivity"].to_dataset()
    order = np.argsort(-np.nan_to_num(dataset["prior"].to_numpy(), nan=np.inf), kind="stable")
    rows: list[list[Cell | str]] = []
    for index in order[:LONGEST_TABLE]:
        prior, likelihood = (float(dataset[name].values[index]) for name in ("prior", "likelihood"))
        mark = "" if prior < 0.05 else "strong"
        label = str(dataset["quantity"].values[index])
        rows.append([label, Cell(f"{prior:.3f}", mark), f"{likelihood:.3f}"])
    table = Table(
        ["quantity", "prior", "likelihood"],
        rows,
        "Largest first; bold from 0.05 on." + _cut(len(order), LONGEST_TABLE),
        frozenset({1, 2}),
    )
    return Card(
        "Prior sensitivity",
        "sensitivity",
        "sensitivity",
        [Paragraph(sentences.SENSITIVITY), table],
        [sentences.REFERENCE_POWER_SCALING],
    )


def predictive_card(problem: "InverseProblem", fit: xr.DataTree) -> Card | None:
    """Draw the problem's statistics of the data among their replicates."""
    if "posterior_predictive" not in fit.children or is_point(fit):
        return None
    statistics = problem._predictive_statistics(fit["posterior_predictive"].to_dataset())
    if not statistics:
        return None
    figure = figures.predictive_statistics(statistics)
    alt = "Histograms of replicated data sets with the observed value: " + "; ".join(
        f"{name}, observed {number(observed)}" for name, (observed, _) in statistics.items()
    )
    return Card(
        "Posterior predictive",
        "predictive",
        "predictive",
        [
            Paragraph(sentences.PREDICTIVE),
            picture(figure, alt + ".", sentences.PREDICTIVE_CAPTION),
        ],
    )


def provenance_card(fit: xr.DataTree) -> Card:
    """State everything needed to make this fit again."""
    attributes = fit.attrs
    options = json.loads(attributes.get("options", "{}"))
    notes = json.loads(attributes.get("sampler_notes", "{}"))
    versions = json.loads(attributes.get("versions", "{}"))
    sizes = fit["posterior"].sizes
    rows: list[tuple[str, str]] = [
        ("problem", str(attributes["problem"])),
        ("options", _listed(options, str)),
        ("method", f"{attributes.get('method')}: {attributes.get('method_reason')}"),
        ("sampler", str(attributes["sampler"])),
        ("sampler notes", _listed(notes, lambda value: number(value, 6))),
        ("draws", f"{sizes['chain']} chains × {sizes['draw']} draws"),
        ("seed", str(int(attributes["seed"]))),
        ("device", str(attributes["device"])),
        ("sampling", f"{float(attributes.get('sampling_seconds', float('nan'))):.1f} s"),
        (
            "sampling, prediction and answers",
            f"{float(attributes.get('wall_seconds', float('nan'))):.1f} s",
        ),
        ("fitted", str(attributes["created"])),
        ("model id", f"{attributes['model_id']} (model version {attributes['model_version']})"),
        ("versions", _listed(versions, str)),
    ]
    table = Table(["", ""], [[Cell(name, "strong"), text] for name, text in rows if text])
    return Card("Versions and provenance", "provenance", "provenance", [table])


def _listed(values: dict[str, object], write: Callable[..., str]) -> str:
    return ", ".join(
        f"{name} {write(value) if not isinstance(value, str) else value}"
        for name, value in values.items()
    )


def references_card(cards_so_far: list[Card]) -> Card | None:
    """List the papers that the other cards rest on, each once, by name."""
    used = sorted({reference for card in cards_so_far for reference in card.references})
    if not used:
        return None
    return Card("References", "references", "references", [Paragraph(text) for text in used])


def is_point(fit: xr.DataTree) -> bool:
    """Tell whether a fit is a single best point rather than draws of a posterior."""
    return fit["posterior"].sizes["draw"] * fit["posterior"].sizes["chain"] < 4
