"""``parity compare``: two checkpoints, versions, dtypes or runs, tensor by tensor."""
