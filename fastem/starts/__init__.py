"""First parameters, without iteration."""
