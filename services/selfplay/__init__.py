"""Self-play: a small transformer learns poker. `ppo.py` is the first file to read, `tables.py` says what it plays on."""
