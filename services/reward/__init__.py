"""Outcomes in, experiences with rewards out: everything that happened, into Postgres, each once."""
