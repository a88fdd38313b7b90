"""Diffusion models: they learn to remove noise, and generate by removing it step by step."""
