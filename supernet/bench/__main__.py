"""``python -m supernet.bench``: time the functions of the mixed operations (``supernet.bench.kernels``)."""

from supernet.bench.kernels import main

if __name__ == "__main__":
    main()
