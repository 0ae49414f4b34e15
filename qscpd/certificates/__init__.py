"""The server's certificate: reading, checking and watching it."""
