"""fal.ai as a provider of Studio."""
