"""`python -m services.inference_worker` runs the service."""

from services.inference_worker.app import main

main()
