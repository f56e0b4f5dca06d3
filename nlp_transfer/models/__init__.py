"""Pretrained models: loading, adapters, probes, encodings."""
