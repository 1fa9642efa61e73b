"""What all edges that leave a state share: its pools, and the gradients through these and skip connections."""
