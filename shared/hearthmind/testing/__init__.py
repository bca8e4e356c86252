"""What services and games use to test against the real thing: servers on this machine, and legal observations to try."""
