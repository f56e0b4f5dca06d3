"""Saving models so that what comes back is what was trained."""
