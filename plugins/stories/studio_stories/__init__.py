"""Stories: import, scenes, shots, cast, versions and the breakdown of a script into shots."""
