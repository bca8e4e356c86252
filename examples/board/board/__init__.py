"""Board games of OpenSpiel, whose players are minds of Hearthmind."""
