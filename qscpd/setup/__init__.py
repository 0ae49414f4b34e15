"""First configuration, certificate authority and certificates."""
