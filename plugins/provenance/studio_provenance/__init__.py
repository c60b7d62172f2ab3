"""Says in every new file, signed, that and how it was generated."""
