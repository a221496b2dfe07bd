"""What runs inside the sandbox; bound there read-only, and standard library only (but for the preloaded modules)."""
