"""Find the code of adapters, import it, and build their typed settings."""
