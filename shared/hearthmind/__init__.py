"""Hearthmind: minds for the characters of any game. A game imports `hearthmind.client`; start reading at `flow.py`."""

__version__ = "0.1.0"
