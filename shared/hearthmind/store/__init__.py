"""Postgres, the truth of the slow path: tables and queries; the only place with SQL."""
