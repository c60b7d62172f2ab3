"""The console: one page from script to film, in the browser."""
