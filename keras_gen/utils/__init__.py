"""Files, arrays, pictures, hardware: what every other part may use."""
