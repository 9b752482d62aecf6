"""Inference: every sampler takes a PyMC model and gives named draws; nothing here knows petrology.

`nuts` (NumPyro, nutpie), `whitened` (NUTS, HMC and Laplace about one optimum), `smc` (tempered,
BlackJAX), `optimum` (MAP), `batch` (many problems at once), `predictive` (prior and posterior
predictive, log densities), `probit` (coordinates for uniform priors), `checks` (what a fit must
pass).
"""
