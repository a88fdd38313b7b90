"""Implicit density: generative adversarial networks."""
