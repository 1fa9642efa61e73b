"""``python -m supernet.bench``: the mixed operations' functions, timed (``supernet.bench.kernels``)."""

from supernet.bench.kernels import main

if __name__ == "__main__":
    main()
