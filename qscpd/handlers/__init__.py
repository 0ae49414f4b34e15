"""Handlers: one function for each frame that a client sends."""
