"""Training: computes features for labels, trains a model, and measures it."""
