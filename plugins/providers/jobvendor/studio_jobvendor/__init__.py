"""What plugins share whose vendors work in jobs. A library: import `studio_jobvendor.api`, and nothing below."""
