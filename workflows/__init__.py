"""The sweeps: config, grid, store, engine, studies and the command line. Nobody imports this package."""
