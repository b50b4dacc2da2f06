"""The front door: one address for every model. Finds the model, wakes it, holds the request, keeps the result."""
