"""The keyless provider pack: every step of a film, done on this machine."""
