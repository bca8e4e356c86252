"""Plays the platform's part against one game and judges what the game does. `play.py` is where to begin."""
