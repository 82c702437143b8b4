"""How are results drawn? Pure functions: results in, a matplotlib figure out."""
