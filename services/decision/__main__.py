"""`python -m services.decision` runs the service."""

from services.decision.app import main

main()
