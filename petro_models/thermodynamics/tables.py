"""Equilibrium tables: garnet composition over P, T and removed garnet, read off between nodes.

A table is made once by a thermodynamic engine; between its nodes the garnet's composition is
interpolated by pure functions that run alike in NumPy, JAX and PyTensor. Nodes without garnet have
the composition that garnet would have there, if the engine told it, else that of the nearest node;
`EquilibriumTable.absence` says how far a point lies from garnet, so that a model can count this
against it.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy.ndimage import distance_transform_edt

from petro_models.errors import DataError, nearest

COMPONENTS = ("alm", "prp", "grs", "sps")
"""Fe2+, Mg, Ca, Mn over their sum on the X site of garnet."""
AXES = {"removed": "1", "pressure_kbar": "kbar", "temperature_C": "degree_Celsius"}
"""Axes of a table and their units; ``removed`` is garnet volume / volume of the original solids."""
VARIABLES = (*(f"X_{name}" for name in COMPONENTS), "garnet_mode")
METHODS = ("cubic", "linear")

type Method = Literal["linear", "cubic"]


def validate_table(table: xr.Dataset) -> None:
    """Check that a Dataset is a garnet table.

    The schema: dims ``removed`` (may be absent), ``pressure_kbar``, ``temperature_C``, each with
    an increasing coordinate; variables ``X_alm X_prp X_grs X_sps`` (fractions that add to 1; NaN
    where garnet is absent, or the composition nearest to being stable) and ``garnet_mode`` (0 where
    absent; NaN where not known).

    Raises
    ------
    DataError
        On the first violation, with the remedy.
    """
    for name in VARIABLES:
        if name not in table:
            raise DataError(
                f"table: variable {name!r} is missing; {nearest(name, map(str, table.data_vars))}"
            )
    for dim in ("pressure_kbar", "temperature_C", *({"removed"} & set(table["X_alm"].dims))):
        if dim not in table.coords:
            raise DataError(f"table: coordinate {dim!r} is missing ({AXES[dim]})")
        values = table[dim].to_numpy()
        if values.size < 2 or not (np.diff(values) > 0).all():
            raise DataError(f"table: {dim} must increase over at least two nodes; got {values}")
    _check_axis_units(table)
    for name in VARIABLES:
        if extra := {str(dim) for dim in table[name].dims} - set(AXES):
            raise DataError(f"table: {name} has the dim {sorted(extra)[0]!r}; known: {list(AXES)}")
    composition = np.stack([table[f"X_{name}"].to_numpy() for name in COMPONENTS])
    present = np.isfinite(composition).all(axis=0)
    if not present.any():
        raise DataError("table: garnet is absent at every node; nothing can be read from it")
    total = composition[:, present].sum(axis=0)
    worst = float(total[np.abs(total - 1).argmax()])
    if abs(worst - 1) > 0.01:
        raise DataError(
            f"table: X_alm + X_prp + X_grs + X_sps is {worst:.3f} at a node, not 1: give fractions "
            "of Fe2+, Mg, Ca and Mn over their sum"
        )


def garnet_stable(table: xr.Dataset) -> xr.DataArray:
    """Tell at which nodes of a table garnet is stable, in the dims of its fractions."""
    fractions = table[[f"X_{name}" for name in COMPONENTS]].to_array()
    return fractions.notnull().all("variable") & (table["garnet_mode"] != 0)


def _check_axis_units(table: xr.Dataset) -> None:
    """Refuse axes in bar, GPa or K, which the numbers give away."""
    pressure, temperature = (table[name].to_numpy() for name in ("pressure_kbar", "temperature_C"))
    if pressure.max() > 150 or pressure.max() < 0.5:
        raise DataError(
            f"table: pressures run to {pressure.max():g} kbar: are they in bar or GPa? "
            "Convert to kbar (1 GPa = 10 kbar)"
        )
    if temperature.min() < 100 or temperature.max() > 1600:
        raise DataError(
            f"table: temperatures run from {temperature.min():g} to {temperature.max():g} degC: "
            "give degrees Celsius, 100 to 1600"
        )


@dataclass(frozen=True)
class EquilibriumTable:
    """Garnet composition on a grid, ready to be read between its nodes.

    Attributes
    ----------
    removed, pressure_kbar, temperature_C
        Axes; ``removed`` has one entry where the table has no such axis.
    composition
        (removed, pressure, temperature, component); filled where the engine told none.
    node_absence
        Distance to the nearest node with garnet in cells of the grid, 0 where garnet is stable.
    attributes
        Where the table is from.

    Examples
    --------
    >>> table = EquilibriumTable.from_dataset(equilibrium)  # doctest: +SKIP
    >>> table.read(pressure_kbar=6.0, temperature_C=560.0)  # doctest: +SKIP
    """

    removed: np.ndarray
    pressure_kbar: np.ndarray
    temperature_C: np.ndarray
    composition: np.ndarray
    node_absence: np.ndarray
    attributes: dict[str, Any]

    @classmethod
    def from_dataset(cls, table: xr.Dataset) -> "EquilibriumTable":
        """Check a table and fill its nodes without a composition from the nearest that have one.

        Raises
        ------
        DataError
            If the table breaks the schema, or a level of ``removed`` has no garnet at all.
        """
        validate_table(table)
        if "removed" not in table["X_alm"].dims:
            table = table.drop_vars("removed", errors="ignore").expand_dims(removed=[0.0])
        order = ("removed", "pressure_kbar", "temperature_C")
        raw = np.stack(
            [table[f"X_{n}"].transpose(*order).to_numpy().astype(float) for n in COMPONENTS], -1
        )
        known = np.isfinite(raw).all(axis=-1)
        stable = garnet_stable(table).transpose(*order).to_numpy()
        for level, found in zip(table["removed"].to_numpy(), stable, strict=True):
            if not found.any():
                raise DataError(
                    f"table: no garnet at any node of removed = {level:g}; cut the axis below it"
                )
        filled, absence = np.empty_like(raw), np.empty(stable.shape)
        for level in range(len(stable)):
            absence[level] = distance_transform_edt(~stable[level])
            index = distance_transform_edt(
                ~known[level], return_distances=False, return_indices=True
            )
            filled[level] = raw[level][tuple(index)]
        axes = {name: table[name].to_numpy().astype(float) for name in order}
        filled /= filled.sum(axis=-1, keepdims=True)
        attributes = {str(key): value for key, value in table.attrs.items()}
        return cls(composition=filled, node_absence=absence, attributes=attributes, **axes)

    @property
    def has_removed_axis(self) -> bool:
        """Whether the table knows garnet taken out of the bulk."""
        return self.removed.size > 1

    @cached_property
    def _linear(self) -> np.ndarray:
        return self._coefficients("linear")

    @cached_property
    def _cubic(self) -> np.ndarray:
        for axis in (self.pressure_kbar, self.temperature_C):
            if not _is_even(axis):
                raise DataError(
                    "cubic interpolation needs evenly spaced axes: take interpolation='linear'"
                )
        return self._coefficients("cubic")

    def _coefficients(self, method: Method) -> np.ndarray:
        values = np.concatenate([self.composition, self.node_absence[..., None]], axis=-1)
        return _polynomials(values.tobytes(), values.shape, method)

    def read(
        self,
        pressure_kbar: Any,
        temperature_C: Any,
        removed: Any = 0.0,
        *,
        method: Method = "linear",
        xp: Any = np,
    ) -> Any:
        """Interpolate the garnet's composition, (..., component) in the order of `COMPONENTS`.

        Parameters
        ----------
        pressure_kbar, temperature_C, removed
            Points, all of one shape (or `removed` a number); outside the table its edge counts.
        method
            ``linear`` (bi- or trilinear) or ``cubic`` (Catmull-Rom in P and T: continuous slopes;
            linear in ``removed``).
        xp
            Namespace of arrays: `numpy`, `jax.numpy` or `pytensor.tensor`.
        """
        return self.look_up(pressure_kbar, temperature_C, removed, method=method, xp=xp)[0]

    def absence(
        self,
        pressure_kbar: Any,
        temperature_C: Any,
        removed: Any = 0.0,
        *,
        method: Method = "linear",
        xp: Any = np,
    ) -> Any:
        """Say how far points lie from stable garnet and from the table's window, in cells.

        0 where garnet is stable; it grows by 1 for each cell of the grid into the region without
        garnet, and by 1 for each cell beyond the window.
        """
        return self.look_up(pressure_kbar, temperature_C, removed, method=method, xp=xp)[1]

    def look_up(
        self,
        pressure_kbar: Any,
        temperature_C: Any,
        removed: Any = 0.0,
        *,
        method: Method = "linear",
        xp: Any = np,
    ) -> tuple[Any, Any]:
        """Give what `read` and `absence` give, looking once; parameters as there."""
        found = self._interpolate(pressure_kbar, temperature_C, removed, method, xp)
        beyond = 0.0
        for values, axis in (
            (pressure_kbar, self.pressure_kbar),
            (temperature_C, self.temperature_C),
        ):
            step = float(np.diff(axis).mean())
            beyond = beyond + xp.clip(axis[0] - values, 0.0, np.inf) / step
            beyond = beyond + xp.clip(values - axis[-1], 0.0, np.inf) / step
        return found[..., :-1], found[..., -1] + beyond

    def _interpolate(
        self, pressure_kbar: Any, temperature_C: Any, removed: Any, method: Method, xp: Any
    ) -> Any:
        if method not in METHODS:
            raise DataError(f"no interpolation is named '{method}': {nearest(method, METHODS)}")
        if xp is np:
            pressure_kbar, temperature_C = np.broadcast_arrays(
                np.asarray(pressure_kbar, float), np.asarray(temperature_C, float)
            )
        removed = removed + 0.0 * pressure_kbar
        rows = _constant(self._cubic if method == "cubic" else self._linear, xp)
        order = len(_WEIGHTS[method])
        cell_p, place_p = _cell(pressure_kbar, self.pressure_kbar, xp)
        cell_t, place_t = _cell(temperature_C, self.temperature_C, xp)
        powers_p, powers_t = (
            xp.stack([place**power for power in range(order)], axis=-1)
            for place in (place_p, place_t)
        )
        products = powers_p[..., :, None] * powers_t[..., None, :]
        products = products.reshape((*pressure_kbar.shape, 1, order * order))
        n_rows, n_columns = self.pressure_kbar.size - 1, self.temperature_C.size - 1
        total: Any = 0.0
        for level, weight in _linear_stencil(removed, self.removed, xp):
            row = (level * n_rows + cell_p) * n_columns + cell_t
            # A product of matrices: with a sum over products, gradients took five times as long.
            total = total + weight[..., None] * (products @ rows[row])[..., 0, :]
        return total


_LINEAR = np.array([[1.0, -1.0], [0.0, 1.0]])
CATMULL_ROM = 0.5 * np.array(
    [[0.0, -1.0, 2.0, -1.0], [2.0, 0.0, -5.0, 3.0], [0.0, 1.0, 4.0, -3.0], [0.0, 0.0, -1.0, 1.0]]
)
"""Weight of each node of a stencil as a polynomial in the place: (node, power)."""
_WEIGHTS: dict[Method, np.ndarray] = {"linear": _LINEAR, "cubic": CATMULL_ROM}


@lru_cache(maxsize=8)
def _polynomials(content: bytes, shape: tuple[int, ...], method: Method) -> np.ndarray:
    """Give the polynomial of every cell, (removed * cell, power of P * power of T, value).

    One row holds all that a point in the cell needs: a model gathers it at once. Many histories
    share a table, and share this.
    """
    values = np.frombuffer(content).reshape(shape)
    weights = _WEIGHTS[method]
    order = len(weights)
    stencils = []
    for axis in (1, 2):
        cells = np.arange(values.shape[axis] - 1)[:, None]
        shift = np.arange(order) - (order // 2 - 1)
        stencils.append(np.clip(cells + shift, 0, values.shape[axis] - 1))
    nodes = values[:, stencils[0][:, None, :, None], stencils[1][None, :, None, :]]
    polynomial = np.einsum("am,bn,rpqabv->rpqmnv", weights, weights, nodes, optimize=True)
    rows = polynomial.reshape(-1, order**2, values.shape[-1])
    rows.flags.writeable = False
    return rows


def _cell(points: Any, axis: np.ndarray, xp: Any) -> tuple[Any, Any]:
    """Give the index of each point's cell and its place in it, 0 to 1; the edge beyond the axis."""
    inside = xp.clip(points, float(axis[0]), float(axis[-1]))
    if _is_even(axis):
        scaled = (inside - float(axis[0])) / float(axis[1] - axis[0])
        index = xp.clip(xp.floor(scaled), 0, axis.size - 2)
        return index.astype("int64"), scaled - index
    # Truth values add up as such in PyTensor: count in floats.
    index = 0.0 * inside
    for node in axis[1:-1]:
        index = index + 1.0 * (inside >= float(node))
    index = index.astype("int64")
    nodes, widths = _constant(axis[:-1], xp), _constant(np.diff(axis), xp)
    return index, (inside - nodes[index]) / widths[index]


def _linear_stencil(points: Any, axis: np.ndarray, xp: Any) -> list[tuple[Any, Any]]:
    if axis.size == 1:
        return [((0.0 * points).astype("int64"), 1.0 + 0.0 * points)]
    index, place = _cell(points, axis, xp)
    return [(index, 1 - place), (index + 1, place)]


def _is_even(axis: np.ndarray) -> bool:
    return bool(np.allclose(np.diff(axis), axis[1] - axis[0], rtol=1e-6))


def _constant(values: np.ndarray, xp: Any) -> Any:
    return xp.as_tensor(values) if hasattr(xp, "as_tensor") else xp.asarray(values)
