"""DARTS: differentiable architecture search (Liu et al. 2019).

Softmax gates (equation 2), one gradient step of the logits on the validation loss, then one of the weights on the
training loss (algorithm 1); the two best edges into each node are kept (section 2.4). This is the first order; the
second order is the step ``unrolled``.
"""

from darts.methods.method import Method

METHOD = Method()
