"""`python -m mlmat`."""

from mlmat.cli import main

main()
