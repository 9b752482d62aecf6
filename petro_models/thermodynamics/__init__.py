"""Thermodynamics: what minerals say about pressure and temperature.

`barometers` holds thermobarometers as residuals, `diffusion` blurs garnet zoning, `engines` makes
equilibrium tables with an installed engine; `petro_models.io.equilibrium_tables` reads them.
"""
