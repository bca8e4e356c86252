"""Turns inference requests into answers: one worker, one engine, the highest tier first."""
