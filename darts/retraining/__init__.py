"""Training the network of a genotype, and what is made of the trained network."""
