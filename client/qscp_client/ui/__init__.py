"""Front ends: terminal and pipe, and every sentence they show."""
