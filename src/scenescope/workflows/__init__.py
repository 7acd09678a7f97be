"""What joins the rooms below: a training run, the demo, the report."""
