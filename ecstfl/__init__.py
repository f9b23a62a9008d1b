"""ecstfl: learn and reproduce EC-STFL, a loss that clusters dynamic facial expressions."""

__version__ = "0.1.0"
