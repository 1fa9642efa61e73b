"""Tests of genotypes. A busy machine is no failure, so examples have no deadline; what must be fast measures itself."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
