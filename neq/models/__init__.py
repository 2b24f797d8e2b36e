"""Models whose entropy production is known exactly."""
