"""Data in, trained model out: ``darts.fit``, the model that it returns, and what it is made of."""
