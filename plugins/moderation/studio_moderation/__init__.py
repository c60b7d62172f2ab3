"""Nothing new is shown before somebody has judged it."""
