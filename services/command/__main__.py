"""`python -m services.command` is the `hearthmind` command."""

from services.command.app import main

main()
