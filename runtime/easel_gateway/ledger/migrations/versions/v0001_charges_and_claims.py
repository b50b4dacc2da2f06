"""The first tables: charges and claims."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make both tables, as they were in this version, whatever `tables.py` says by now."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.create_table(
        "charges",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("time", sa.Text() if sqlite else sa.DateTime(timezone=True), nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("caller", "model_id", "namespace", "model", "revision")
        ),
        sa.Column("generation", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("width", "height", "images")),
        sa.Column("pixels", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("price_amount", "currency")),
        sa.Column("per_pixels", sa.BigInteger, nullable=False),
        sa.Column("amount", sa.Text() if sqlite else sa.Numeric(), nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("seconds", "gpu_seconds")),
        sa.Column("idempotency_key", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("request_id", name="charges_pkey"),
    )
    op.create_index("charges_caller_time_idx", "charges", ["caller", "time"])
    op.create_index("charges_model_id_time_idx", "charges", ["model_id", "time"])
    op.create_table(
        "claims",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("caller", "key", "fingerprint", "token")),
        sa.Column("expires", sa.Double, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=True),
        sa.PrimaryKeyConstraint("caller", "key", name="claims_pkey"),
    )
    op.create_index("claims_token_idx", "claims", ["token"], unique=True)
    op.create_index("claims_expires_idx", "claims", ["expires"])
