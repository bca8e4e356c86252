"""Realm: a small seeded strategy world, an ordinary game of Hearthmind. Start reading at `rules.py`, then `world.py`."""
