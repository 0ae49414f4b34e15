"""The bus: what the store has committed, on its way to everything that reacts to it."""
