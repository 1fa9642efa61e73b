"""Vision transformers with entangled weights, and encoder-decoders for translation."""
