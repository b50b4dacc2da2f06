"""Speed on a GPU, with random weights of the true architectures: nothing is downloaded. `python -m bench.gpu`."""
