"""The connection to the server: TCP, TLS, login and reconnection delays."""
