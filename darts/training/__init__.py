"""The training loop and what it runs on: batches, devices, processes, memory."""
