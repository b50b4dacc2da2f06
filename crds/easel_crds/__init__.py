"""The contract of Easel: its resources, and every name that two of its parts must spell alike.

Everything else imports this package; it imports nothing of Easel's.
"""

__version__ = "0.1.0"
