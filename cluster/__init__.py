"""The boundary to Dask clusters: knows workers and jobs, nothing of entropy production."""
