"""Streamlit's side: widgets, sections and the frame of every page."""
