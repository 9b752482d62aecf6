"""Models that differ only in their numbers as one set of JAX functions of those numbers.

A PyMC model holds its data as constants. The graphs of two models made by the same declaration are
walked side by side; where operations, types and shapes agree, the models are *alike*, and constants
whose values differ become arguments. Constants that all models share stay constants.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from jax.flatten_util import ravel_pytree
from pymc.sampling.jax import get_jaxified_graph
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import io_toposort
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.subtensor import AdvancedSubtensor
from pytensor.tensor.type import TensorType

type Place = tuple[int, int]
"""Where a constant enters: number of the node, and as which of its inputs."""
type Data = tuple[jax.Array, ...]


@dataclass(frozen=True)
class Traced:
    """The graph of one model's log densities and transformations.

    Attributes
    ----------
    names
        Value variables and free variables, in the model's order.
    inputs
        Value variables, then natural values of the transformed free variables.
    outputs
        Log prior, log likelihood, free variables, value variables of the transformed ones.
    nodes
        All operations, inputs before outputs.
    constants
        Every place where a constant enters.
    initial
        The model's own starting point, by value variable.
    """

    names: tuple[tuple[str, ...], tuple[str, ...]]
    inputs: list[Variable]
    outputs: list[Variable]
    nodes: list[Apply]
    constants: dict[Place, Variable]
    initial: dict[str, np.ndarray]


def trace(model: pm.Model) -> Traced:
    """Write down the graph of a model: prior, likelihood and transformations."""
    # One call: the graph is rewritten once for both parts, which is most of the cost of an item.
    terms = model.logp(vars=[*model.free_RVs, *model.observed_RVs], sum=False)
    count = len(model.free_RVs)
    prior, likelihood = _total(terms[:count]), _total(terms[count:])
    free = [rv.name for rv in model.free_RVs]
    by_name = {variable.name: variable for variable in model.unobserved_value_vars}
    natural, forward = [], []
    for rv in model.free_RVs:
        if (transform := model.rvs_to_transforms[rv]) is not None:
            natural.append(rv.type(name=rv.name))
            forward.append(transform.forward(natural[-1], *rv.owner.inputs))
    inputs = [*model.value_vars, *natural]
    outputs = [prior, likelihood, *(by_name[name] for name in free), *forward]
    nodes = list(io_toposort(inputs, outputs))
    values = tuple(variable.name for variable in model.value_vars)
    initial = {name: np.asarray(value, float) for name, value in model.initial_point().items()}
    return Traced((values, tuple(free)), inputs, outputs, nodes, _constants(nodes), initial)


@dataclass
class Family:
    """Models that are alike, of which the first is the pattern.

    Attributes
    ----------
    pattern
        The graph of the first.
    items
        For every member: constants that differ from the pattern's, by place.
    """

    pattern: Traced
    items: list[dict[Place, np.ndarray]] = field(default_factory=lambda: [{}])
    _references: dict[Variable, tuple[int, int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._references = _references(self.pattern)

    def admit(self, other: Traced) -> bool:
        """Take a model in if it is alike; tell whether it was."""
        differing = self._differences(other)
        if differing is None:
            return False
        self.items.append(differing)
        return True

    def _differences(self, other: Traced) -> dict[Place, np.ndarray] | None:
        """Give the constants in which a model differs; None if it is of another structure."""
        pattern = self.pattern
        if (
            pattern.names != other.names
            or len(pattern.nodes) != len(other.nodes)
            or pattern.constants.keys() != other.constants.keys()
        ):
            return None
        references = _references(other)
        for node, twin in zip(pattern.nodes, other.nodes, strict=True):
            if node.op != twin.op or len(node.inputs) != len(twin.inputs):
                return None
            for one, two in zip(node.inputs, twin.inputs, strict=True):
                if not _same_kind(one, two) or self._references.get(one) != references.get(two):
                    return None
        for one, two in zip(pattern.outputs, other.outputs, strict=True):
            if self._references.get(one) != references.get(two):
                return None
        differing = {}
        for place, constant in pattern.constants.items():
            own = other.constants[place]
            if _equal(constant, own):
                continue
            if not _may_differ(pattern.nodes[place[0]], place[1]):
                return None
            differing[place] = np.asarray(_value(own))
        return differing

    def lift(self) -> "Lifted":
        """Compile the family: constants that differ between members become arguments."""
        columns: dict[tuple[bytes, ...], list[Place]] = {}
        for place in sorted({place for item in self.items for place in item}):
            column = self._column(place)
            kind = str((self.pattern.constants[place].type, column.dtype)).encode()
            columns.setdefault((kind, *(value.tobytes() for value in column)), []).append(place)
        stacked = tuple(self._column(places[0]) for places in columns.values())
        arguments = [
            self.pattern.constants[places[0]].type.clone(dtype=str(column.dtype))()
            for places, column in zip(columns.values(), stacked, strict=True)
        ]
        lifted = {
            place: argument
            for argument, places in zip(arguments, columns.values(), strict=True)
            for place in places
        }
        return Lifted.of(self.pattern, arguments, _rebuild(self.pattern, lifted), stacked)

    def _column(self, place: Place) -> np.ndarray:
        default = np.asarray(_value(self.pattern.constants[place]))
        return np.stack([item.get(place, default) for item in self.items])


@dataclass(frozen=True)
class Lifted:
    """JAX functions shared by all members of a family; `data` is one member's numbers.

    Attributes
    ----------
    log_prior, log_likelihood
        (flat unconstrained point, data) -> log density, the prior's with Jacobians.
    constrain
        (flat unconstrained point, data) -> the free variables by name.
    unconstrain
        (transformed free variables in natural units, data) -> their value variables by name.
    transformed
        Names of the variables that `unconstrain` takes.
    stacked
        Numbers of all members, leading axis the member.
    """

    log_prior: Callable[[jax.Array, Data], jax.Array]
    log_likelihood: Callable[[jax.Array, Data], jax.Array]
    constrain: Callable[[jax.Array, Data], dict[str, jax.Array]]
    unconstrain: Callable[[Sequence[Any], Data], dict[str, jax.Array]]
    transformed: tuple[str, ...]
    stacked: tuple[np.ndarray, ...]

    @classmethod
    def of(
        cls,
        pattern: Traced,
        arguments: list[Variable],
        outputs: list[Variable],
        stacked: tuple[np.ndarray, ...],
    ) -> "Lifted":
        """Compile rebuilt outputs as functions of value variables and arguments."""
        values, free = pattern.names
        value_inputs, natural = pattern.inputs[: len(values)], pattern.inputs[len(values) :]
        restore = ravel_pytree(pattern.initial)[1]

        def of_point(chosen: list[Variable]) -> Callable[[jax.Array, Data], Any]:
            function = get_jaxified_graph(inputs=[*value_inputs, *arguments], outputs=chosen)

            def at(flat: jax.Array, data: Data) -> Any:
                point = restore(flat)
                return function(*(point[name] for name in values), *data)

            return at

        prior, likelihood = of_point([outputs[0]]), of_point([outputs[1]])
        constrain = of_point(outputs[2 : 2 + len(free)])
        forward = get_jaxified_graph(
            inputs=[*natural, *arguments], outputs=outputs[2 + len(free) :]
        )
        transformed = tuple(str(variable.name) for variable in natural)
        targets = tuple(
            value for value, name in zip(values, free, strict=True) if name in transformed
        )
        return cls(
            log_prior=lambda flat, data: prior(flat, data)[0],
            log_likelihood=lambda flat, data: likelihood(flat, data)[0],
            constrain=lambda flat, data: dict(zip(free, constrain(flat, data), strict=True)),
            unconstrain=lambda point, data: dict(zip(targets, forward(*point, *data), strict=True)),
            transformed=transformed,
            stacked=stacked,
        )

    def negative(self, flat: jax.Array, data: Data) -> jax.Array:
        """Give minus the log density at a flat unconstrained point."""
        return -(self.log_prior(flat, data) + self.log_likelihood(flat, data))


def _total(terms: Sequence[Variable]) -> Variable:
    return pt.add(*(pt.sum(term) for term in terms), pt.zeros(()))


def _constants(nodes: Sequence[Apply]) -> dict[Place, Variable]:
    return {
        (number, position): variable
        for number, node in enumerate(nodes)
        for position, variable in enumerate(node.inputs)
        if isinstance(variable, Constant | SharedVariable)
    }


def _references(traced: Traced) -> dict[Variable, tuple[int, int]]:
    """Number every input and every output of a node."""
    references = {variable: (-1, number) for number, variable in enumerate(traced.inputs)}
    for number, node in enumerate(traced.nodes):
        references |= {output: (number, place) for place, output in enumerate(node.outputs)}
    return references


def _value(variable: Any) -> Any:
    return variable.get_value() if isinstance(variable, SharedVariable) else variable.data


def _equal(one: Variable, two: Variable) -> bool:
    first, second = _value(one), _value(two)
    if first is second:
        return True
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
    return bool(first == second)


def _same_kind(one: Any, two: Any) -> bool:
    """Tell whether types agree, but for the precision of a constant.

    PyTensor keeps a number in single precision where that loses nothing: 80.0, but not 80.1.
    """
    if one.type == two.type:
        return True
    if not all(isinstance(v, Constant) and isinstance(v.type, TensorType) for v in (one, two)):
        return False
    are_floats = all(v.type.dtype.startswith("float") for v in (one, two))
    return are_floats and one.type.shape == two.type.shape


def _may_differ(node: Apply, position: int) -> bool:
    """Tell whether a constant may become an argument: it must not decide on any shape."""
    variable: Any = node.inputs[position]
    if not isinstance(variable.type, TensorType):
        return False
    if variable.type.dtype.startswith("float"):
        return True
    if isinstance(node.op, Elemwise):
        return variable.ndim > 0 or node.outputs[0].type.dtype.startswith("float")
    is_index = isinstance(node.op, AdvancedSubtensor)
    return is_index and variable.ndim > 0 and variable.type.dtype != "bool"


def _rebuild(pattern: Traced, lifted: dict[Place, Variable]) -> list[Variable]:
    """Copy a graph with some of its constants replaced."""
    copies: dict[Variable, Variable] = {}
    for number, node in enumerate(pattern.nodes):
        inputs = [
            lifted.get((number, position), copies.get(variable, variable))
            for position, variable in enumerate(node.inputs)
        ]
        clone = node.clone_with_new_inputs(inputs, strict=False)
        copies |= dict(zip(node.outputs, clone.outputs, strict=True))
    return [copies.get(output, output) for output in pattern.outputs]
