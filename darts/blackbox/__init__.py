"""Search without gradients: strategies that propose architectures, and evaluators that say what they are worth."""
