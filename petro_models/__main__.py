"""`python -m petro_models` is the command line."""

from petro_models.cli import main

main()
