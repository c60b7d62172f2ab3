"""Thumbnails and blurhashes of new pictures, clips and films."""
