"""Write files as MAGEMin 2 writes them (format strings of its dump_function.c), for tests."""

import numpy as np

OXIDES = ("SiO2", "Al2O3", "CaO", "MgO", "FeO", "K2O", "Na2O", "TiO2", "O", "MnO", "H2O")
DENSITY = {"g": 4000.0, "bi": 3000.0, "q": 2650.0, "H2O": 900.0}
MOLAR_MASS = {"py": 403.13, "alm": 497.75, "spss": 495.03, "gr": 450.45, "kho": 460.84}


def garnet(pressure_kbar: float, temperature_C: float) -> dict[str, float] | None:
    """A smooth made-up garnet, absent below 500 degC at low pressure."""
    if temperature_C + 5.0 * pressure_kbar < 530.0:
        return None
    heat, load = (temperature_C - 500.0) / 200.0, pressure_kbar / 10.0
    members = {
        "py": 0.05 + 0.15 * heat,
        "spss": 0.25 - 0.2 * heat,
        "gr": 0.05 + 0.15 * load,
        "kho": 0.02,
    }
    return {"py": members["py"], "alm": 1 - sum(members.values())} | {
        key: members[key] for key in ("spss", "gr", "kho")
    }


def expected(pressure_kbar: float, temperature_C: float) -> tuple[np.ndarray, float]:
    """X_alm, X_prp, X_grs, X_sps and the volume fraction that readers must find."""
    members = garnet(pressure_kbar, temperature_C)
    if members is None:
        return np.full(4, np.nan), 0.0
    fractions = np.array(
        [members["alm"], members["py"] + members["kho"], members["gr"], members["spss"]]
    )
    weights = _weights(True)
    volumes = {name: weights[name] / DENSITY[name] for name in ("g", "bi", "q")}
    return fractions, volumes["g"] / sum(volumes.values())


def pseudosection_point(
    number: int, pressure_kbar: float, temperature_C: float, status: int = 0
) -> str:
    """One point of ``_pseudosection_output.txt``."""
    numbers = [pressure_kbar, temperature_C, -800.0, 1e-6, *([-900.0] * 11), 6.1, 3.4, 0.01]
    lines = [f"{number} {status} " + " ".join(f"{value:.10f}" for value in numbers)]
    members = garnet(pressure_kbar, temperature_C)
    weights = _weights(members is not None)
    if members is not None:
        lines.append(_solution("g", members, weights["g"], 5))
    lines.append(_solution("bi", {"phl": 0.4, "annm": 0.6}, weights["bi"], 5))
    for name in ("q", "H2O"):
        lines.append(
            f"{name} \t {weights[name]:.10f} \t {DENSITY[name]:.10f} \t0 {len(OXIDES)} "
            + _oxides()
            + f"{weights[name]:.10f} "
        )
    return "\n".join(lines) + "\n\n"


def block_point(pressure_kbar: float, temperature_C: float, matlab: bool) -> str:
    """One point of ``_thermocalc_style_output.txt`` or ``_matlab_output.txt``."""
    members = garnet(pressure_kbar, temperature_C)
    weights = _weights(members is not None)
    solutions = {"bi": {"phl": 0.4, "annm": 0.6}}
    if members is not None:
        solutions = {"g": members} | solutions
    phases = [*solutions, "q", "H2O"]
    text = "=" * 60 + "\n"
    text += "".join(f"{name:>4} " for name in phases)
    text += f" {{{pressure_kbar:10.5f}, {temperature_C:10.5f}}} kbar/°C\n\n"
    title = "\nEnd-members fractions[wt fr]" if matlab else "End-members fraction (solution phase):"
    text += title + "\n"
    for name, fractions in solutions.items():
        shown = _by_weight(fractions) if matlab and name == "g" else fractions
        filler = "".join(f"{'-':>10} " for _ in range(len(OXIDES) - len(shown)))
        text += f" {'':>5}" + "".join(f"{key:>10} " for key in shown) + filler + "\n"
        text += f" {name:>5}" + "".join(f"{value:10.5f} " for value in shown.values())
        text += filler + "\n"
    text += "\n\nSite fractions:\n     g   0.1 \n\nStable mineral assemblage:\n"
    text += " phase   fraction[wt]\n" if matlab else " phase mod[mol fr]            f\n"
    for name in phases:
        text += f"{name:>6}" + _properties(name, weights[name], matlab) + "\n"
    text += f"{'SYS':>6} {'':>14} {-800.0:+13.5f}\n\n"
    return text


def _weights(with_garnet: bool) -> dict[str, float]:
    weights = {"g": 0.12 if with_garnet else 0.0, "bi": 0.3, "H2O": 0.05}
    return weights | {"q": 1.0 - sum(weights.values())}


def _solution(name: str, members: dict[str, float], weight: float, variables: int) -> str:
    text = f"{name} \t {weight:.10f} \t {DENSITY[name]:.10f} \t{variables} "
    text += "".join(f"{0.1:.10f} " for _ in range(variables))
    text += "".join(f"{key:>10} {value:.10f} " for key, value in members.items())
    return text + f"{len(OXIDES)} " + _oxides() + f"{weight:.10f} "


def _oxides() -> str:
    return "".join(f"{oxide:>10} {0.09:.10f} " for oxide in OXIDES)


def _by_weight(members: dict[str, float]) -> dict[str, float]:
    masses = {key: value * MOLAR_MASS[key] for key, value in members.items()}
    return {key: mass / sum(masses.values()) for key, mass in masses.items()}


def _properties(name: str, weight: float, matlab: bool) -> str:
    rest = [1e-5, 0.1, -900.0, 100.0, 60.0, 7.0, 4.0]
    if matlab:
        numbers = [weight, -800.0, 115.0, 20.0, 0.3, DENSITY[name], *rest]
        return (
            "".join(f"{value:+15.5f}" for value in numbers[:1])
            + " "
            + " ".join(f"{value:+13.5f}" for value in numbers[1:])
        )
    # Atoms x formulae per atom x volume of a formula is the volume, weight / density.
    factor, volume = 0.05, 115.0
    atoms = weight / DENSITY[name] / (factor * volume) * 1e4
    numbers = [atoms, factor, -800.0, volume, 0.3, DENSITY[name], *rest]
    return " ".join(f"{value:+12.5f}" for value in numbers)
