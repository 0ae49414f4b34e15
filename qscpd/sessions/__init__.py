"""One connection, before and after login."""
