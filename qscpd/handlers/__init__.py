"""One function for each frame that a client sends."""
