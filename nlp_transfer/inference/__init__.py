"""Adapted models in use: loading, predicting, files and streams."""
