"""Scores, how sure they are, and what two systems' difference is worth."""
