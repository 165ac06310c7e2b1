"""The engine: a model, its data and a schedule, run to the end. It knows no estimator and no public name."""
