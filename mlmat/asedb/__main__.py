"""`python -m mlmat.asedb`: ASE's command line, with stores."""

from mlmat.asedb.interface import main

main()
