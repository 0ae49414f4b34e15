"""Live sessions, presence and rooms: who gets what."""
