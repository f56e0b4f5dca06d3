"""The commands of `nlp-transfer`: each parses, calls and prints; no logic of its own."""
