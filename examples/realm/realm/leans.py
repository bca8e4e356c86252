"""Which genes speak for what: how each action suits the aggressive, the thrifty, the sociable, the bold and the patient."""

from __future__ import annotations

LEANS: dict[str, dict[str, float]] = {
    # what comes first for a day
    "expand": {"economy": 0.3, "risk_tolerance": 0.6, "adaptability": 0.5},
    "fortify": {"aggression": -0.2, "risk_tolerance": -0.8, "patience": 0.4},
    "attack": {"aggression": 1.0, "diplomacy": -0.4, "risk_tolerance": 0.4},
    "diplomacy": {"aggression": -0.5, "diplomacy": 1.0},
    "economy": {"economy": 1.0, "patience": 0.5, "aggression": -0.3},
    # war
    "hold": {"aggression": -0.8, "patience": 0.5, "risk_tolerance": -0.3},
    "raid": {"aggression": 0.8, "economy": 0.3},
    "scout": {"risk_tolerance": -0.4, "adaptability": 0.4},
    "evade": {"aggression": -0.4, "risk_tolerance": -0.5, "adaptability": 0.4},
    "help": {"diplomacy": 0.8, "aggression": 0.3},
    # thrift
    "wait": {"patience": 0.4},
    "build": {"economy": 0.5, "patience": 0.2},
    "train": {"aggression": 0.5},
    "sell": {"economy": 0.4, "adaptability": 0.2},
    "buy": {"economy": 0.4, "patience": -0.3},
    "settle": {"risk_tolerance": 0.5, "adaptability": 0.4},
    # dealings
    "accept": {"diplomacy": 0.8},
    "refuse": {"aggression": 0.3, "diplomacy": -0.8},
    "offer": {"diplomacy": 0.8, "aggression": -0.4},
    "end": {"aggression": 0.8, "diplomacy": -0.6},
    "leave": {"diplomacy": -0.8, "adaptability": 0.3},
}


def leans_of(action: str) -> dict[str, float]:
    """Those of an action, by the first word of its name: all training leans alike."""
    return LEANS.get(action.partition("_")[0], {})
