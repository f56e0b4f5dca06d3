"""A local page and a JSON API for adapted models: `nlp-transfer serve`."""
