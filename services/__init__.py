"""The services. None imports another; only `command` knows them all."""
