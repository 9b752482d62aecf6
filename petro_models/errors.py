"""The errors a user can meet: what is wrong, where, and what to do about it."""

from collections.abc import Iterable
from difflib import get_close_matches


class PetroError(Exception):
    """Base of every error that petro_models raises on purpose."""


class DataError(PetroError):
    """The measurements cannot be used as they stand (value, unit, label, dimension)."""


class FormatError(PetroError):
    """A file cannot be read in the format it claims to have."""


class PriorError(PetroError):
    """A prior is unknown, has the wrong dims, or is not a distribution."""


class UnknownPriorError(PriorError, KeyError):
    """No prior has this name (a KeyError too, so that priors behave as a mapping)."""

    __str__ = Exception.__str__


class ConfigurationError(PetroError):
    """A configuration file or an option has an unknown key or an impossible value."""


class FitError(PetroError):
    """A fit cannot be made, saved, loaded or trusted as asked."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Suggest the closest allowed name, as a sentence fragment for an error message.

    Examples
    --------
    >>> nearest("mas_change", ["mass_change", "tolerance"])
    "did you mean 'mass_change'? Allowed: mass_change, tolerance"
    """
    choices = list(allowed)
    by_folded = {choice.casefold(): choice for choice in choices}
    matches = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    hint = f"did you mean '{by_folded[matches[0]]}'? " if matches else ""
    return f"{hint}Allowed: {', '.join(choices)}"
