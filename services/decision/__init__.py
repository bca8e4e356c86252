"""Decides: one legal action for every observation, in time, whatever fails."""
