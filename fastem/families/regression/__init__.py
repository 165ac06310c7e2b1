"""A response given covariates: a regression inside each component."""
