"""What a trained model leaves for others: exports and presets."""
