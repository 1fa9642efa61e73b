"""Named configurations: each a method by its published protocol on a data set."""
