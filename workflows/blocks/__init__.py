"""One block of cells: offered by the driver, owned and computed by a task, written behind its fence."""
