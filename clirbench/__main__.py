"""`python -m clirbench` is `clirbench`."""

from clirbench.cli import main

main()
