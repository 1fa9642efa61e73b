"""The configuration of searches and retrainings: dataclasses whose fields are the command line's options."""
