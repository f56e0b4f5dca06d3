"""Models made ready for a faster runtime, with what that changes measured before the folder counts."""
