"""A village whose people talk with whoever comes by."""
