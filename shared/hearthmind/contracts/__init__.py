"""The messages of each hop, as msgspec Structs, and nothing else. They evolve by new fields with defaults only."""
