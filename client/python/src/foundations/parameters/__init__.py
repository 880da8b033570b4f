"""Parameters for searches."""

from foundations.parameters.generate_random_parameters import generate_random_parameters as generate_random_parameters

__all__ = ["generate_random_parameters"]
