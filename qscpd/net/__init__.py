"""Sockets, TLS and bytes; nothing here knows a frame."""
