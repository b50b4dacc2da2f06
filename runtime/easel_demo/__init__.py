"""How the demo model was made: pictures drawn here, edits computed by formula, small networks, an hour on one core."""
