"""Search by gradients through a supernet."""
