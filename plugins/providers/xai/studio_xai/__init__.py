"""xAI: chat, pictures, edits and videos of the Grok models."""
