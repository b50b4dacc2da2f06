"""What Easel's two HTTP servers share: the form of the seed contract, read as a stream, pictures, and error shapes.

The gateway and the runtime import it; it knows neither of them. It exists because both must refuse the same
request with the same words (see docs/decisions/0002-one-reader-of-the-form.md).
"""
