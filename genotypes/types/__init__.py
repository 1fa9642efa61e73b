"""Types of genotype: one file each, as immutable data that is validated when it is made."""
