"""Accounts in memory, and password hashing."""
