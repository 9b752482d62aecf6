"""What a report is made of: cards, each with a title and blocks of text, tables and figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from matplotlib.figure import Figure

from petro_models.report import style

SECTIONS = (
    "answer",
    "checks",
    "figures",
    "results",
    "priors",
    "prior_posterior",
    "sensitivity",
    "predictive",
    "baselines",
    "data",
    "provenance",
    "references",
)
"""The order of a report; cards of one section keep the order in which they were made."""


@dataclass(frozen=True)
class Paragraph:
    """One paragraph; `tone` is ``text``, ``lead`` (the answer) or ``note`` (small print)."""

    kind: ClassVar[str] = "paragraph"
    text: str
    tone: str = "text"


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes
    ----------
    text
        What stands in it.
    mark
        ``PASS``, ``REVIEW``, ``FAIL``, ``strong``, ``muted`` or empty.
    colour
        Of a small square before the text, as in the figures; empty for none.
    """

    text: str
    mark: str = ""
    colour: str = ""


@dataclass(frozen=True)
class Table:
    """A table that scrolls inside its own frame where the page is narrow.

    Attributes
    ----------
    columns
        Headings.
    rows
        Cells (or plain text).
    caption
        What it shows, with units and the kind of intervals.
    numeric
        Positions of columns that are set to the right.
    wide
        Whether its cells hold so much text that a narrow page should not squeeze them.
    """

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""
    numeric: frozenset[int] = frozenset()
    wide: bool = False

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows with every cell as a `Cell`."""
        return [
            [cell if isinstance(cell, Cell) else Cell(str(cell)) for cell in row]
            for row in self.rows
        ]


@dataclass(frozen=True)
class Picture:
    """A figure as a ``data:`` address; `alt` says in words what it shows."""

    kind: ClassVar[str] = "picture"
    address: str
    alt: str
    caption: str
    width_px: int
    height_px: int


type Block = Paragraph | Table | Picture


@dataclass(frozen=True)
class Card:
    """One part of a report.

    Attributes
    ----------
    title
        Heading.
    anchor
        Identifier for links, unique in a report.
    section
        One of `SECTIONS`.
    blocks
        What stands in it.
    references
        Papers that it rests on; the report lists them at its end, each once.
    """

    title: str
    anchor: str
    section: str
    blocks: Sequence[Block] = ()
    references: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        if self.section not in SECTIONS:
            raise ValueError(f"section is '{self.section}', not one of {', '.join(SECTIONS)}")


def picture(figure: Figure, alt: str, caption: str) -> Picture:
    """Turn a figure into a block of a card."""
    return Picture(style.svg_data_address(figure), alt, caption, *style.size_in_pixels(figure))


def figure_card(
    title: str, anchor: str, figure: Figure, alt: str, caption: str, section: str = "figures"
) -> Card:
    """Make a card of one figure."""
    return Card(title, anchor, section, [picture(figure, alt, caption)])


def in_order(cards: Sequence[Card]) -> list[Card]:
    """Put cards in the order of a report."""
    return sorted(cards, key=lambda card: SECTIONS.index(card.section))


def number(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits; a dash where there is none."""
    if value != value:
        return "–"
    text = f"{value:.{digits}g}"
    if "e" in text and 1e-4 <= abs(value) < 1e7:
        text = f"{value:.0f}" if abs(value) >= 1 else f"{value:.{digits + 3}f}".rstrip("0")
    return text.replace("-", "−")


def interval(low: float, high: float) -> str:
    """Write an interval as ``0.98 to 1.05``, with as many decimals as its width bears out."""
    width = high - low
    if not 0 < width < 1e7 or width < 1e-6:
        return f"{number(low)} to {number(high)}"
    decimals = max(0, 2 - math.floor(math.log10(width)))
    return f"{low:.{decimals}f} to {high:.{decimals}f}".replace("-", "−")
