"""The API server, as far as operator and gateway need it. Nothing else imports its client."""
