"""Product rules and types that every store driver shares; pure, without I/O."""
