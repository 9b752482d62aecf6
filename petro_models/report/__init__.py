"""Reports: cards in, one self-contained HTML file out.

`page` puts the file together, `generic` makes the cards that every problem gets, `cards` says what
a card is, `figures` and `style` draw. Each problem adds cards of its own.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

    from petro_models.problem import InverseProblem

__all__ = ["report", "write_report"]


def report(fit: "xr.DataTree | str | Path", path: str | Path) -> Path:
    """Write the report of a fit, or of a saved fit, from what it holds alone.

    Parameters
    ----------
    fit
        A fit, or the file it was saved in.
    path
        The HTML file to write.

    Raises
    ------
    FormatError
        If the file cannot be read as a fit.
    FitError
        If the fit is not one of this version's models, or the report cannot be written.
    """
    from petro_models.report import page

    return page.report(fit, path)


def write_report(problem: "InverseProblem", fit: "xr.DataTree", path: str | Path) -> Path:
    """Write the report of a fit of this problem; see `report`."""
    from petro_models.report import page

    return page.write_report(problem, fit, path)
