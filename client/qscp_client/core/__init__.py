"""The client without I/O: frames and typed lines in, frames and events out."""
