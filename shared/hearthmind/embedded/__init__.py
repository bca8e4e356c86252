"""NATS and Postgres on this machine, without installing either, and the supervision of a set of processes."""
