"""Makes a run's models at one seed: the source model, the adapted one, and what the baselines need."""
