"""Sockets, TLS and bytes; no module here knows frames."""
