"""The film: panels, voices and music cut to MP4, subtitles and files for editing programs."""
