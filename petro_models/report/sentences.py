"""Every sentence of the general part of a report, in one place."""

INTERVALS = "Intervals are 90 %, equal-tailed, unless a table says otherwise."

VERDICTS = {
    "PASS": "All checks passed: the numbers can be used.",
    "REVIEW": "Read the findings marked REVIEW before the numbers are used.",
    "FAIL": "Do not use these numbers: at least one check failed.",
}

PRIORS = (
    "What was assumed before the data were seen. Edited priors are marked, with the default beside "
    "them. A plain number is a quantity held known."
)

PRIOR_POSTERIOR = (
    "What the data added: where the posterior is no narrower than the prior, the data are silent."
)
PRIOR_POSTERIOR_CAPTION = (
    "Prior (grey) and posterior (blue) densities, each scaled to its own height; bars: 90 % "
    "intervals, equal-tailed."
)
CONTRACTION_CAPTION = (
    "Contraction is 1 − (posterior width / prior width)², with the widths of the 90 % "
    "equal-tailed intervals: 1 where the data decide, 0 where they are silent, below 0 where the "
    "posterior is wider than the prior."
)

SENSITIVITY = (
    "How far the posterior would move if the prior (or the likelihood) counted a little more or "
    "less (power scaling). Below 0.05 it hardly moves. A high prior value beside a high likelihood "
    "value: prior and data pull apart; beside a low one: the data say little."
)

PREDICTIVE = (
    "Data drawn from the fitted model should look like the observed data. Each statistic of the "
    "observed data is compared with the same statistic of replicated data sets."
)
PREDICTIVE_CAPTION = (
    "Statistic of the observed data (line) among those of replicated data sets (histogram); the "
    "bar is their 90 % interval, equal-tailed. The verdicts stand under Checks."
)

POINT = "This fit is a single best point: it has no uncertainty, and intervals have no width."

REFERENCE_POWER_SCALING = (
    "Kallioinen, N., Paananen, T., Bürkner, P.-C., Vehtari, A. (2024) Detecting and diagnosing "
    "prior and likelihood sensitivity with power-scaling. Statistics and Computing 34, 57."
)
REFERENCE_CONVERGENCE = (
    "Vehtari, A., Gelman, A., Simpson, D., Carpenter, B., Bürkner, P.-C. (2021) "
    "Rank-normalization, folding, and localization: an improved R-hat for assessing convergence "
    "of MCMC. Bayesian Analysis 16, 667-718."
)
