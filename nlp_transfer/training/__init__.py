"""Training: arguments, the Trainer, methods, baselines, costs."""
