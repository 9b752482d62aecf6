"""petro_models: probabilistic models that read the history of a rock out of its chemistry."""

import logging as _logging

from pymc_extras.prior import Prior

from petro_models.io.fits import load, save
from petro_models.mass_transfer.problem import MassTransfer
from petro_models.problem import check, problem_of

_logger = _logging.getLogger("petro_models")
if not _logger.handlers:
    _logger.addHandler(_logging.StreamHandler())
    _logger.setLevel(_logging.INFO)
