"""Storyboard panels drawn by rule. Runs in a worker process; nothing here imports the kernel."""
