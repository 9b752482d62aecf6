"""Inference: every sampler takes a PyMC model and gives named draws; nothing here knows petrology.

`nuts` (NumPyro, nutpie), `smc` (tempered, BlackJAX), `optimum` (MAP), `predictive` (prior and
posterior predictive, log densities), `checks` (what a fit must pass).
"""
