"""State of the client on disk."""
