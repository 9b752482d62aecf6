"""Priors by name: documented defaults, edits that are checked at once, a TOML round trip."""

import tomllib
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
import pymc as pm
import tomli_w
import xarray as xr
from pymc_extras.prior import Prior, UnsupportedDistributionError
from pytensor.tensor import TensorVariable

from petro_models.errors import PriorError, UnknownPriorError, nearest
from petro_models.inference.probit import Probit

type PriorValue = Prior | float | xr.DataArray
"""A distribution, one known number, or known numbers labelled by a dim's coordinate."""

SUPPORTS: dict[str, tuple[float, float]] = {
    "real": (-np.inf, np.inf),
    "positive": (0.0, np.inf),
    "nonnegative": (0.0, np.inf),
    "probability": (0.0, 1.0),
}


@dataclass(frozen=True)
class PriorSpecification:
    """What one named quantity of a model is, and what a researcher may put in its place.

    Attributes
    ----------
    default
        The prior in force until it is edited.
    dims
        Dims the quantity has in the model; a prior may name all of them or fewer.
    meaning, reason, source
        One line each: what it is (with its unit), why the default, and where from.
    support
        Which numbers make sense.
    required_dims
        Dims that a distribution must name (a shared value would be another model).
    may_be_known
        Whether a known number may take the place of a distribution.
    """

    default: PriorValue
    dims: tuple[str, ...]
    meaning: str
    reason: str
    source: str = ""
    support: Literal["real", "positive", "nonnegative", "probability"] = "real"
    required_dims: tuple[str, ...] = ()
    may_be_known: bool = True


class Priors(MutableMapping[str, PriorValue]):
    """The priors of one problem, edited by name.

    Parameters
    ----------
    specifications
        Every quantity of the model, in the order in which it is printed.
    coords
        Labels of the dims, against which labelled numbers are checked.

    Examples
    --------
    >>> priors = Priors({"tolerance": PriorSpecification(0.03, (), "", "", support="positive")}, {})
    >>> priors["tolerance"] = Prior("HalfNormal", sigma=0.05)
    >>> priors.edited
    ['tolerance']
    """

    def __init__(
        self,
        specifications: Mapping[str, PriorSpecification],
        coords: Mapping[str, Sequence[str]],
    ) -> None:
        self.specifications = dict(specifications)
        self._coords = {name: [str(label) for label in labels] for name, labels in coords.items()}
        self._edits: dict[str, PriorValue] = {}

    def __getitem__(self, name: str) -> PriorValue:
        self._require_known(name)
        return self._edits.get(name, self.specifications[name].default)

    def __setitem__(self, name: str, value: object) -> None:
        """Put a distribution or known numbers in place of a default.

        Raises
        ------
        PriorError
            If the name is unknown, the value is no distribution or number, its dims do not fit, or
            it allows values outside the quantity's range.
        """
        self._require_known(name)
        self._put(name, self._checked(name, value))

    def __delitem__(self, name: str) -> None:
        """Put the default back."""
        self._require_known(name)
        self._edits.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.specifications)

    def __len__(self) -> int:
        return len(self.specifications)

    @property
    def edited(self) -> list[str]:
        """Names of the priors that are no longer the default."""
        return [name for name in self.specifications if name in self._edits]

    def reset(self) -> None:
        """Put every default back."""
        self._edits.clear()

    def is_known(self, name: str) -> bool:
        """Tell whether a quantity is a known number rather than a distribution."""
        return not isinstance(self[name], Prior)

    def known(self, name: str) -> np.ndarray:
        """Give the known numbers of a quantity, in the order of its dims.

        Raises
        ------
        PriorError
            If the quantity has a distribution.
        """
        value = self[name]
        if isinstance(value, Prior):
            raise PriorError(f"priors['{name}'] is a distribution, not known numbers: {value}")
        return np.asarray(value, dtype=float)

    def create(self, name: str) -> TensorVariable | np.ndarray:
        """Create the quantity inside a PyMC model: a random variable or known numbers."""
        value = self[name]
        if not isinstance(value, Prior):
            return self.known(name)
        if value.distribution == "Uniform":
            # Its edge is reached seldom in PyMC's logit, which has a long tail there.
            value = copy(value)
            value.pymc_distribution = partial(pm.Uniform, default_transform=Probit())
        return value.create_variable(name)

    def describe(self, name: str) -> str:
        """Write one prior as a reader would say it, e.g. ``Normal(mu=0, sigma=0.5; sample)``."""
        return _describe(self[name])

    def __repr__(self) -> str:
        width = max(map(len, self.specifications), default=0)
        return "\n".join(
            f"{'*' if name in self._edits else ' '} {name:<{width}}  {self.describe(name)}"
            for name in self.specifications
        )

    def to_toml(self) -> str:
        """Write every prior in force as TOML; `from_toml` reads it back."""
        return tomli_w.dumps({name: _to_plain(self[name]) for name in self})

    def from_toml(self, text: str) -> None:
        """Edit priors from TOML text; those that equal the default stay unedited.

        Raises
        ------
        PriorError
            If the text is not TOML, or for any reason an edit by name would raise.
        """
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise PriorError(f"the priors are not valid TOML: {error}") from error
        self.update_from(tables)

    def update_from(self, tables: Mapping[str, object]) -> None:
        """Edit priors from plain tables, as a TOML file holds them (all or none)."""
        values = {}
        for name, plain in tables.items():
            self._require_known(name)
            values[name] = self._checked(name, _from_plain(name, plain))
        for name, value in values.items():
            self._put(name, value)

    def _put(self, name: str, value: PriorValue) -> None:
        """Keep an edit; a value equal to the default is none."""
        if _to_plain(value) != _to_plain(self.specifications[name].default):
            self._edits[name] = value
        else:
            self._edits.pop(name, None)

    def _require_known(self, name: str) -> None:
        if name not in self.specifications:
            raise UnknownPriorError(
                f"no prior is named '{name}': {nearest(name, self.specifications)}"
            )

    def _checked(self, name: str, value: object) -> PriorValue:
        specification = self.specifications[name]
        if isinstance(value, Prior):
            _check_dims(name, value, specification)
            _check_support(name, _samples(name, value, self._coords), specification)
            return value.deepcopy()
        if isinstance(value, bool | str) or value is None:
            raise _not_a_prior(name, value)
        if not specification.may_be_known:
            raise PriorError(
                f"priors['{name}'] must be a distribution: {specification.meaning} is what the "
                f"data are asked for; got {value!r}"
            )
        if isinstance(value, Mapping | pd.Series | xr.DataArray):
            numbers: float | xr.DataArray = self._labelled(name, value, specification)
        else:
            numbers = _number(name, value)
        _check_support(name, np.asarray(numbers, dtype=float), specification)
        return numbers

    def _labelled(
        self,
        name: str,
        value: Mapping[Any, Any] | pd.Series | xr.DataArray,
        specification: PriorSpecification,
    ) -> xr.DataArray:
        if len(specification.dims) != 1:
            raise PriorError(
                f"priors['{name}'] takes a Prior or one number; labelled numbers need exactly one "
                f"dim and '{name}' has {specification.dims}"
            )
        (dim,) = specification.dims
        pairs = value.to_series() if isinstance(value, xr.DataArray) else value
        by_label = {str(label): _number(name, number) for label, number in pairs.items()}
        labels = self._coords[dim]
        for label in by_label:
            if label not in labels:
                raise PriorError(f"priors['{name}']: no {dim} '{label}': {nearest(label, labels)}")
        if missing := [label for label in labels if label not in by_label]:
            raise PriorError(
                f"priors['{name}'] needs a number for every {dim}; missing: {', '.join(missing)}"
            )
        return xr.DataArray([by_label[label] for label in labels], {dim: labels}, [dim])


def _number(name: str, value: object) -> float:
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise _not_a_prior(name, value) from error
    if array.ndim or not np.isfinite(array):
        raise _not_a_prior(name, value)
    return float(array)


def _not_a_prior(name: str, value: object) -> PriorError:
    return PriorError(
        f"priors['{name}'] must be a Prior, a finite number, or a table of label -> number; "
        f"got {type(value).__name__}: {value!r}. "
        f"For example: priors['{name}'] = Prior('Normal', mu=0, sigma=1)"
    )


def _all_dims(prior: Prior) -> list[str]:
    nested = [
        dim
        for value in prior.parameters.values()
        if isinstance(value, Prior)
        for dim in _all_dims(value)
    ]
    return [*(prior.dims or ()), *nested]


def _check_dims(name: str, prior: Prior, specification: PriorSpecification) -> None:
    allowed = specification.dims
    for dim in _all_dims(prior):
        if dim not in allowed:
            hint = nearest(dim, allowed) if allowed else "it has no dims: leave `dims` out"
            raise PriorError(f"priors['{name}'] cannot have the dim '{dim}': {hint}")
    for dim in specification.required_dims:
        if dim not in (prior.dims or ()):
            raise PriorError(
                f"priors['{name}'] needs dims='{dim}': {specification.meaning} has one value per "
                f"{dim}. Write {type(prior).__name__}('{prior.distribution}', ..., dims='{dim}')"
            )


def _samples(name: str, prior: Prior, coords: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Draw from the prior alone, which also proves that its parameters fit together."""
    try:
        with pm.Model(coords={dim: coords[dim] for dim in _all_dims(prior)}):
            variable = prior.create_variable(name)
        return np.asarray(pm.draw(variable, draws=100, random_seed=0, mode="FAST_COMPILE"))
    except (ValueError, TypeError, KeyError, UnsupportedDistributionError) as error:
        raise PriorError(f"priors['{name}'] = {prior} cannot be drawn from: {error}") from error


def _check_support(name: str, numbers: np.ndarray, specification: PriorSpecification) -> None:
    low, high = SUPPORTS[specification.support]
    strict = specification.support in ("positive", "probability")
    bad = (numbers < low) | (numbers > high)
    if strict:
        bad |= (numbers == low) | (numbers == high)
    if bad.any():
        bounds = {
            "positive": "above 0",
            "nonnegative": "0 or more",
            "probability": "strictly between 0 and 1",
        }[specification.support]
        raise PriorError(
            f"priors['{name}'] must stay {bounds} ({specification.meaning}); "
            f"it allows {float(numbers[bad].flat[0]):.3g}"
        )


def _describe(value: object) -> str:
    if isinstance(value, Prior):
        parts = ", ".join(f"{key}={_describe(part)}" for key, part in value.parameters.items())
        dims = f"; {', '.join(map(str, value.dims))}" if value.dims else ""
        centered = "" if value.centered else "; non-centred"
        return f"{value.distribution}({parts}{dims}{centered})"
    if isinstance(value, xr.DataArray):
        return ", ".join(
            f"{label}={float(number):g}"
            for label, number in zip(value.coords[value.dims[0]].values, value.values, strict=True)
        )
    array = np.asarray(value)
    return f"{float(array):g}" if array.ndim == 0 else f"[{', '.join(f'{v:g}' for v in array)}]"


def _to_plain(value: object) -> Any:
    if isinstance(value, Prior):
        table: dict[str, Any] = {"distribution": value.distribution}
        table |= {key: _to_plain(part) for key, part in value.parameters.items()}
        if value.dims:
            table["dims"] = list(map(str, value.dims))
        if not value.centered:
            table["centered"] = False
        if value.transform:
            table["transform"] = value.transform
        return table
    if isinstance(value, xr.DataArray):
        labels = value.coords[value.dims[0]].values
        return {str(key): float(part) for key, part in zip(labels, value.values, strict=True)}
    array = np.asarray(value, dtype=float)
    return float(array) if array.ndim == 0 else array.tolist()


def _from_plain(name: str, plain: object) -> object:
    if isinstance(plain, Mapping):
        if "distribution" not in plain:
            return dict(plain)
        parameters = {
            key: _from_plain(name, part)
            for key, part in plain.items()
            if key not in ("distribution", "dims", "centered", "transform")
        }
        options: dict[str, Any] = {"centered": plain.get("centered", True)}
        if "transform" in plain:
            options["transform"] = plain["transform"]
        if (dims := plain.get("dims")) is not None:
            if not isinstance(dims, str | list):
                raise PriorError(f"priors.{name}: dims must be a name or a list; got {dims!r}")
            options["dims"] = (dims,) if isinstance(dims, str) else tuple(dims)
        try:
            return Prior(str(plain["distribution"]), **parameters, **options)
        except Exception as error:
            raise PriorError(f"priors.{name}: not a distribution: {error}") from error
    if isinstance(plain, list):
        try:
            return np.asarray(plain, dtype=float)
        except ValueError as error:
            raise PriorError(f"priors.{name}: a list must hold numbers; got {plain!r}") from error
    return plain
