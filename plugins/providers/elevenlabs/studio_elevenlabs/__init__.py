"""Voices by ElevenLabs."""
