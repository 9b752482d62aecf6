"""One self-contained HTML page from the cards of a problem and a fit."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import xarray as xr

from petro_models.report import generic, sentences
from petro_models.report.cards import Card, in_order

if TYPE_CHECKING:
    from petro_models.problem import InverseProblem

TEMPLATE = "report.html.j2"


def report(fit: xr.DataTree | str | Path, path: str | Path) -> Path:
    """Make `petro_models.report`'s page from a fit, or from the file it was saved to."""
    from petro_models.io.fits import load
    from petro_models.problem import problem_of

    tree = load(fit) if isinstance(fit, str | Path) else fit
    return write_report(problem_of(tree), tree, path)


def write_report(problem: "InverseProblem", fit: xr.DataTree, path: str | Path) -> Path:
    """Write the page of a fit of a problem: whole, or not at all."""
    from petro_models.io.fits import write_text

    return write_text(render(problem, fit), path)


def render(problem: "InverseProblem", fit: xr.DataTree) -> str:
    """Give the page as text: the same text for the same fit."""
    cards = [*generic.cards(problem, fit), *problem._cards(fit)]
    return page(title_of(problem), provenance_line(problem, fit), _verdict(fit), cards)


def page(title: str, provenance: str, verdict: str, cards: list[Card]) -> str:
    """Put cards on a page, in the order of a report, with the references they name."""
    references = generic.references_card(cards)
    ordered = in_order([*cards, references] if references else cards)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("petro_models.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template(TEMPLATE)
    return template.render(
        title=title,
        provenance=provenance,
        verdict=verdict,
        verdicts=sentences.VERDICTS,
        cards=ordered,
    )


def title_of(problem: "InverseProblem") -> str:
    """Name the report by its problem and data."""
    kind = problem.kind.replace("-", " ")
    return f"{kind[:1].upper()}{kind[1:]}: {problem.data.attrs.get('source', 'data in memory')}"


def provenance_line(problem: "InverseProblem", fit: xr.DataTree) -> str:
    """Say in one line what this is a report of."""
    version = json.loads(fit.attrs["versions"]).get("petro_models", "")
    # Sorted, as a file does not keep the order of dims.
    sizes = ", ".join(f"{dim}: {size}" for dim, size in sorted(problem.data.sizes.items()))
    return (
        f"petro_models {version} · {sizes} · {fit.attrs['sampler']} · seed {fit.attrs['seed']} · "
        f"fitted {fit.attrs['created']} · model {fit.attrs['model_id']}"
    )


def _verdict(fit: xr.DataTree) -> str:
    from petro_models.problem import check

    return check(fit).verdict
