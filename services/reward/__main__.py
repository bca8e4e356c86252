"""`python -m services.reward` runs the service."""

from services.reward.app import main

main()
