"""Altair charts as values: frames in, figures out."""
